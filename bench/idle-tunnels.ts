/** 5,000 idle tunnels over three sandboxes: what each costs the supervisors. */
import type { Installation } from "../test/e2e/installation.ts";
import { BINARY } from "../test/e2e/installation.ts";
import { LOADGEN, prepareLoad, TARGET, TARGET_PORT } from "./connect.ts";
import { report } from "./statistics.ts";

const SANDBOXES = 3;
/** Together 5,000; one sandbox may have 2,048. */
const TUNNELS = 1667;

/** Private memory of the supervisors, in bytes. */
async function supervisors(shell: Installation): Promise<Map<number, number>> {
  const sizes = new Map<number, number>();
  for (const { pid, commandLine } of await shell.net.processes()) {
    if (!commandLine.includes("sandbox run --spec")) continue;
    const { stdout } = await shell.net.runOnHost(["/bin/cat", `/proc/${pid}/smaps_rollup`]);
    const kilobytes = ["Private_Dirty", "Private_Clean"].map((field) =>
      Number(stdout.match(new RegExp(`^${field}:\\s+(\\d+)`, "m"))?.[1] ?? 0),
    );
    sizes.set(pid, kilobytes.reduce((a, b) => a + b, 0) * 1024);
  }
  return sizes;
}

export async function benchIdleTunnels(shell: Installation, policy: string): Promise<void> {
  const names = Array.from({ length: SANDBOXES }, (_, index) => `idle-${index}`);
  const others = new Set((await supervisors(shell)).keys());
  for (const name of names) await shell.create(name, policy);
  await prepareLoad(shell);
  const own = async () => [...(await supervisors(shell))].filter(([pid]) => !others.has(pid)).reduce((sum, [, size]) => sum + size, 0);
  // A first tunnel brings in what is needed once: the hash of the program, the relay's code.
  for (const name of names)
    await shell.cli(
      ["sandbox", "exec", "-n", name, "--", LOADGEN, "/sandbox/hold.ts", "10.200.0.1", "3128", `${TARGET}:${TARGET_PORT}`, "16"],
      { stdin: "" },
    );
  const before = await own();
  const started = performance.now();
  const holders = await Promise.all(
    names.map((name) =>
      shell.net.spawnOnHost(
        [
          BINARY,
          "sandbox",
          "exec",
          "-n",
          name,
          "--",
          LOADGEN,
          "/sandbox/hold.ts",
          "10.200.0.1",
          "3128",
          `${TARGET}:${TARGET_PORT}`,
          String(TUNNELS),
        ],
        { env: shell.env },
      ),
    ),
  );
  const answers = await Promise.all(holders.map((holder) => holder.waitForOutput(/held (\d+) failed (\d+)/)));
  const seconds = (performance.now() - started) / 1000;
  const held = answers.reduce((sum, [, count]) => sum + Number(count), 0);
  const failed = answers.reduce((sum, [, , count]) => sum + Number(count), 0);
  const after = await own();
  report(
    `${held} idle tunnels over ${SANDBOXES} sandboxes${failed > 0 ? `, ${failed} failed` : ""}`,
    `${((after - before) / held / 1024).toFixed(1)} KiB each (supervisors ${(before / 1e6).toFixed(0)} → ${(after / 1e6).toFixed(0)} MB), stood after ${seconds.toFixed(1)} s`,
  );
  for (const holder of holders) await holder.closeInput();
  await Promise.all(holders.map(({ exited }) => exited));
  for (const name of names) await shell.must("sandbox", "delete", name);
}
