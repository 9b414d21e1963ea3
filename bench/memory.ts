/** Memory of an idle sandbox's processes, as the kernel accounts it. */
import type { Installation } from "../test/e2e/installation.ts";
import { report } from "./statistics.ts";

const ROLES: readonly [string, RegExp][] = [
  ["supervisor", /sandbox run --spec/],
  ["init", /sandbox-init/],
  ["gateway", /gateway serve/],
];

export async function benchMemory(shell: Installation): Promise<void> {
  for (const { pid, commandLine } of await shell.net.processes()) {
    const role = ROLES.find(([, pattern]) => pattern.test(commandLine))?.[0];
    if (role === undefined) continue;
    const { stdout } = await shell.net.runOnHost(["/bin/cat", `/proc/${pid}/smaps_rollup`]);
    const megabytes = (field: string) =>
      (Number(stdout.match(new RegExp(`^${field}:\\s+(\\d+) kB`, "m"))?.[1] ?? Number.NaN) / 1000).toFixed(1);
    const own = (Number(megabytes("Private_Dirty")) + Number(megabytes("Private_Clean"))).toFixed(1);
    report(`idle memory: ${role}`, `${megabytes("Rss")} MB resident, ${megabytes("Pss")} MB its share, ${own} MB its own`);
  }
}
