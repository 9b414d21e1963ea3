import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { architecture } from "../syscall-numbers.ts";
import { memoryExecutable } from "./executable.ts";
import { Cell, LauncherImage } from "./image.ts";
import { machineCode } from "./machine-code.ts";

const image = () => new LauncherImage(architecture ?? "x64");
const O_RDONLY = 0;
const AT_FDCWD = -100;
const SIGCHLD = 17;

function run(program: LauncherImage) {
  using launcher = memoryExecutable("launcher-test", program.build());
  const { exitCode, stdout, stderr } = Bun.spawnSync([launcher.path], { env: {} });
  return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

test("the listings are whole: every line has its bytes", () => {
  expect(machineCode("x64").length).toBe(0x77);
  expect(machineCode("arm64").length).toBe(0x68);
});

test("a call that fails prints its message, and the exit code is the error number", () => {
  const ENOENT = 2;
  const program = image().call("openat", [AT_FDCWD, "/does/not/exist", O_RDONLY, 0], { failure: "open it" }).call("exit_group", [0]);
  expect(run(program)).toEqual({ exitCode: ENOENT, stdout: "", stderr: "open it" });
});

test("a call that may fail is passed over", () => {
  const program = image().call("openat", [AT_FDCWD, "/does/not/exist", O_RDONLY, 0]).call("exit_group", [7]);
  expect(run(program)).toEqual({ exitCode: 7, stdout: "", stderr: "" });
});

test("a result becomes the first argument of the next call", () => {
  const bytes = Buffer.alloc(11);
  const program = image()
    .call("openat", [AT_FDCWD, "/proc/version", O_RDONLY, 0], { failure: "open", result: "next-argument" })
    .call("read", [0, bytes, bytes.length], { failure: "read" })
    .call("exit_group", [0]);
  expect(run(program)).toEqual({ exitCode: 0, stdout: "", stderr: "" });
});

test("parent and child go their ways, and a stored result can be written", () => {
  const pid = new Cell();
  const program = image()
    .call("clone", [SIGCHLD, 0, 0, 0, 0], { failure: "clone", result: pid, whenPositive: "parent" })
    .call("execve", ["/bin/sh", ["sh", "-c", 'echo "child $0 $HERE"', "ünï"], ["HERE=inside", "PATH=/bin"]], { failure: "exec" })
    .label("parent")
    .call("wait4", [-1, 0, 0, 0])
    .call("write", [1, pid, pid.bytes], { failure: "write" })
    .call("exit_group", [3]);
  const { exitCode, stdout } = run(program);
  expect(exitCode).toBe(3);
  expect(stdout).toStartWith("child ünï inside\n");
  expect(Buffer.from(stdout.slice(-8), "latin1").length).toBe(8);
});

test("nothing in memory is both writable and executable", async () => {
  using launcher = memoryExecutable(
    "launcher-test",
    image()
      .call("write", [1, Buffer.alloc(1), 1])
      .call("read", [0, Buffer.alloc(1), 1])
      .call("exit_group", [0])
      .build(),
  );
  const child = Bun.spawn([launcher.path], { env: {}, stdin: "pipe", stdout: "pipe" });
  // Before its first word the process may still have the memory of the one that started it.
  await child.stdout.getReader().read();
  const maps = readFileSync(`/proc/${child.pid}/maps`, "latin1");
  expect(maps).toContain("00400000");
  expect(maps).not.toMatch(/ .?wx/);
  child.stdin.end();
});

test("a label that does not exist and a NUL byte are errors here, not in the kernel", () => {
  expect(() => image().call("clone", [0], { whenPositive: "nowhere" }).build()).toThrow("nowhere");
  expect(() => image().call("chdir", ["/\0"]).build()).toThrow("NUL");
});
