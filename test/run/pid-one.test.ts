/** `sandbox run` as PID 1 of a container: it collects what the kernel gives it, and its end is the container's. */
import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { BINARY } from "../e2e/installation.ts";
import { eventually } from "../eventually.ts";
import { missingForRun, Runs, SYSTEM_PATH, until } from "./harness.ts";

const [unshare, nsenter] = [Bun.which("unshare"), Bun.which("nsenter")];
const missing = missingForRun() ?? (unshare === null || nsenter === null ? "unshare(1) and nsenter(1) are not installed" : undefined);
if (missing !== undefined) console.log(`skipped: sandbox run as PID 1: ${missing}`);

describe.skipIf(missing !== undefined)("sandbox run: PID 1", () => {
  const runs = new Runs();
  afterAll(() => runs[Symbol.dispose]());

  /** The supervisor as PID 1 of a pid namespace; `pid` is what this machine calls it. */
  async function container(script: string) {
    const program = Bun.spawn({
      cmd: [
        unshare ?? "",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        BINARY,
        "sandbox",
        "run",
        "--policy",
        runs.closed,
        "--",
        "/bin/sh",
        "-c",
        script,
      ],
      cwd: "/",
      env: { PATH: SYSTEM_PATH },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    await until(program.stdout, /up\n/);
    const pid = Number(readFileSync(`/proc/${program.pid}/task/${program.pid}/children`, "utf8").trim());
    return { program, pid };
  }

  test("its exit code is the program's", async () => {
    const { program } = await container("echo up; exit 11");
    expect(await program.exited).toBe(11);
  });

  test("SIGTERM reaches the program although PID 1 ignores it by default", async () => {
    const { program, pid } = await container("trap 'exit 12' TERM; echo up; while :; do sleep 0.05; done");
    process.kill(pid, "SIGTERM");
    expect(await program.exited).toBe(12);
  });

  test("case-101 orphans from outside the box are collected", async () => {
    const { program, pid } = await container("echo up; exec sleep 86451");
    const enter = (script: string) => Bun.spawnSync({ cmd: [nsenter ?? "", "-t", String(pid), "-p", "-m", "/bin/sh", "-c", script] });
    for (let i = 0; i < 5; i++) enter("/bin/sleep 0.05 & exit 0");
    const zombies = () =>
      readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
        .split(" ")
        .filter(Boolean)
        .filter((child) => readFileSync(`/proc/${child}/stat`, "utf8").includes(") Z "));
    await eventually("the first orphan to die", 5000, async () => zombies().length > 0 || undefined);
    await eventually("every orphan to be collected", 10_000, async () => zombies().length === 0 || undefined);
    process.kill(pid, "SIGTERM");
    await program.exited;
  });
});
