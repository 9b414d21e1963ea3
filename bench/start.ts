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

/** From the start to the first byte that the confined program writes. */
async function timeFirstByte(cmd: string[], times: number): Promise<string> {
  const values: number[] = [];
  for (let i = 0; i <= times; i++) {
    const started = performance.now();
    const child = Bun.spawn({ cmd, cwd: "/", env: ENVIRONMENT, stdin: "ignore", stdout: "pipe", stderr: "ignore" });
    const { done } = await child.stdout.getReader().read();
    if (done) return "failed: no output";
    if (i > 0) values.push(performance.now() - started);
    await child.exited;
  }
  return milliseconds(summarise(values));
}

export async function benchStart(policy: string): Promise<void> {
  report("binary size", `${(statSync(BINARY).size / 1e6).toFixed(1)} MB`);
  report("/bin/true (floor of this machine)", timeSpawn(["/bin/true"], 50));
  report("openshell --version", timeSpawn([BINARY, "--version"], 30));
  report("openshell --help", timeSpawn([BINARY, "--help"], 30));
  report(
    "openshell sandbox run -- /bin/true, start to end",
    timeSpawn([BINARY, "sandbox", "run", "--policy", policy, "--", "/bin/true"], 15),
  );
  const echo = ["sandbox", "run", "--policy", policy, "--", "/bin/echo", "x"];
  report("openshell sandbox run → first byte (aim: 60 ms)", await timeFirstByte([BINARY, ...echo], 15));
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
