/** From a policy that is set to the first connection that it decides, seen from inside the sandbox. */
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BINARY, type Installation } from "../test/e2e/installation.ts";
import { eventually } from "../test/eventually.ts";
import { LOADGEN, prepareLoad, TARGET, TARGET_PORT } from "./connect.ts";
import { milliseconds, report, summarise } from "./statistics.ts";
import { printTable } from "./table.ts";

const SANDBOX = "enforcement";
/** Enough for a 99th percentile. */
const ROUNDS = 100;
const policyFor = (port: number) => `version: 1
network_policies:
  load:
    endpoints: [{ host: ${TARGET}, port: ${port} }]
    binaries: [{ path: ${LOADGEN} }]
`;

export async function benchEnforcement(shell: Installation): Promise<void> {
  const known = new Set(shell.sandboxDirectories());
  await shell.create(SANDBOX, policyFor(TARGET_PORT));
  await prepareLoad(shell);
  const directory = shell.sandboxDirectories().find((path) => !known.has(path)) ?? "";
  copyFileSync(join(import.meta.dir, "probe.ts"), join(directory, "workspace/probe.ts"));
  const inside = [LOADGEN, "/sandbox/probe.ts", "10.200.0.1", "3128", `${TARGET}:${TARGET_PORT}`, "/sandbox/changes"];
  const probe = await shell.net.spawnOnHost([BINARY, "sandbox", "exec", "-n", SANDBOX, "--", ...inside], { env: shell.env });
  const changes = join(directory, "workspace/changes");
  await eventually(
    "the probe is allowed",
    30_000,
    async () => (existsSync(changes) && readFileSync(changes, "utf8").includes("allowed")) || undefined,
  );
  const [registration = ""] = [...new Bun.Glob("config/openshell/gateways/*/metadata.json").scanSync(shell.directory)];
  const { exitCode, stdout, stderr } = await shell.net.runOnHost([
    process.execPath,
    join(import.meta.dir, "set-policies.ts"),
    ...[join(shell.directory, registration), SANDBOX, changes],
    ...[shell.policy("allowing", policyFor(TARGET_PORT)), shell.policy("denying", policyFor(TARGET_PORT + 1)), String(ROUNDS)],
  ]);
  await probe.closeInput();
  await probe.exited;
  await shell.must("sandbox", "delete", SANDBOX);
  const line = stdout.trim().split("\n").at(-1) ?? "";
  if (exitCode !== 0 || !line.startsWith("{"))
    return report("policy set → enforced", `failed: ${(stderr || stdout).trim().split("\n")[0]}`);
  const { enforced, answered } = JSON.parse(line) as { enforced: number[]; answered: number[] };
  printTable(
    "Policies",
    ["", "measured", "aim"],
    [
      ["UpdateConfig → its answer", milliseconds(summarise(answered)), ""],
      ["UpdateConfig → first connection decided by it", milliseconds(summarise(enforced)), "p99 < 100 ms"],
    ],
  );
}
