/** How fast the binary starts, alone and with a whole sandbox round the program. */
import { statSync } from "node:fs";
import { BINARY, type Installation } from "../test/e2e/installation.ts";
import { milliseconds, report, summarise } from "./statistics.ts";

const ENVIRONMENT = { PATH: "/usr/bin:/bin", HOME: "/", NO_COLOR: "1" };

function timeSpawn(cmd: string[], times: number): string {
  const values: number[] = [];
  for (let i = 0; i <= times; i++) {
    const started = performance.now();
    const { exitCode, stderr } = Bun.spawnSync({ cmd, cwd: "/", env: ENVIRONMENT, stdin: "ignore", stdout: "ignore", stderr: "pipe" });
    if (exitCode !== 0) return `failed: ${stderr.toString().trim().split("\n")[0]}`;
    if (i > 0) values.push(performance.now() - started); // the first run fills the page cache
  }
  return milliseconds(summarise(values));
}

export function benchStart(policy: string): void {
  report("binary size", `${(statSync(BINARY).size / 1e6).toFixed(1)} MB`);
  report("/bin/true (floor of this machine)", timeSpawn(["/bin/true"], 50));
  report("openshell --version", timeSpawn([BINARY, "--version"], 30));
  report("openshell --help", timeSpawn([BINARY, "--help"], 30));
  report(
    "openshell sandbox run -- /bin/true, start to end",
    timeSpawn([BINARY, "sandbox", "run", "--policy", policy, "--", "/bin/true"], 15),
  );
}

/** `true` under a supervisor that runs already: the whole round trip CLI → gateway → supervisor → confined process and back. */
export async function benchExec(shell: Installation, sandbox: string): Promise<void> {
  const values: number[] = [];
  for (let i = 0; i <= 20; i++) {
    const started = performance.now();
    const { exitCode, stderr } = await shell.exec(sandbox, "/bin/true");
    if (exitCode !== 0) return report("openshell sandbox exec -- /bin/true", `failed: ${stderr.trim()}`);
    if (i > 0) values.push(performance.now() - started);
  }
  report("openshell sandbox exec -- /bin/true, with the CLI's start", milliseconds(summarise(values)));
}
