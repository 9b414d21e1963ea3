import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { OpenShellError } from "../../../error.ts";
import { close, writeAll } from "../../../linux/descriptors.ts";
import { AGENT_UID, agentProcesses, launchOf, openTestBox, readAll, type TestBox } from "./box-fixture.ts";
import { launchOrder } from "./launch-order.ts";

let agent: TestBox;
beforeAll(async () => {
  agent = await openTestBox();
});
afterAll(() => agent[Symbol.asyncDispose]());

const failure = async (argv: string[], changes: object = {}) => {
  try {
    const child = await agent.box.launch({ ...launchOf(argv), ...changes });
    child.signal(9);
  } catch (reason) {
    return reason as OpenShellError;
  }
  throw new Error("the launch succeeded");
};

test("the order of a launch", () => {
  expect([...launchOrder]).toEqual([
    "enter-namespaces",
    "reset-signals",
    "close-descriptors",
    "open-landlock-paths",
    "drop-bounding-set",
    "set-ids",
    "drop-capabilities",
    "no-new-privs",
    "landlock",
    "seccomp",
    "exec",
  ]);
});

test("exit codes, and 128 plus the signal", async () => {
  expect((await agent.sh("exit 7")).code).toBe(7);
  expect((await agent.sh("kill -TERM $$")).code).toBe(143);
});

test("exactly the given environment arrives, and so do odd arguments", async () => {
  const { stdout } = await agent.run(["/usr/bin/env"], { ODD: "a\nb=ü" });
  expect(stdout.trim().split("\n").sort()).toEqual(["HOME=/sandbox", "LC_ALL=C", "ODD=a", "PATH=/usr/bin:/bin", "b=ü"].sort());
  expect((await agent.run(["/usr/bin/printf", "%s|", "a b", "", "ü\n"])).stdout).toBe("a b||ü\n|");
});

test("an environment of a megabyte fits", async () => {
  const value = "x".repeat(120_000);
  const environment = Object.fromEntries(Array.from({ length: 8 }, (_, index) => [`V${index}`, value]));
  expect((await agent.run(["/bin/sh", "-c", 'printf %s "$V7" | wc -c'], environment)).stdout).toBe("120000\n");
});

test("a command is found by PATH inside the box", async () => {
  expect((await agent.run(["true"])).code).toBe(0);
  expect((await agent.run(["env"], { PATH: "/usr/bin" })).code).toBe(0);
});

test("a command that only the host has is named with its place there", async () => {
  const directory = join(agent.spec.runDirectory, "bin");
  mkdirSync(directory);
  writeFileSync(join(directory, "host-tool"), "#!/bin/sh\n");
  chmodSync(join(directory, "host-tool"), 0o755);
  const error = await failure(["host-tool"], { environment: { PATH: directory } });
  expect(error.code).toBe("not_found");
  expect(error.message).toContain(join(directory, "host-tool"));
  expect(error.next).toContain("--mount");
});

test("what cannot run says why", async () => {
  expect((await failure(["no-such-program"])).message).toBe("no-such-program is not a program in the sandbox");
  expect((await failure(["/bin/true"], { workdir: "/nowhere" })).message).toBe("working directory /nowhere: ENOENT");
  await agent.sh("printf '#!/no/interpreter\\n' > bad; chmod +x bad");
  expect((await failure(["/sandbox/bad"])).message).toContain("interpreter");
  expect((await failure([])).code).toBe("invalid_argument");
});

test("standard input reaches the program", async () => {
  const child = await agent.box.launch(launchOf(["/bin/cat"]));
  if (!child.stdio) throw new Error("no pipes");
  writeAll(child.stdio.stdin, Buffer.from("through the pipe"));
  close(child.stdio.stdin);
  expect(await readAll(child.stdio.stdout)).toBe("through the pipe");
  expect(await child.exited).toBe(0);
});

test("a signal reaches the whole process group", async () => {
  const child = await agent.box.launch(launchOf(["/bin/sh", "-c", "sleep 1000 & echo up; wait"]));
  if (!child.stdio) throw new Error("no pipes");
  await Bun.file(child.stdio.stdout).stream().getReader().read();
  const sleeping = () => agentProcesses().some(({ name, group }) => name === "sleep" && group === child.pid);
  while (!sleeping()) await Bun.sleep(1);
  child.signal(15);
  expect(await child.exited).toBe(143);
  while (sleeping()) await Bun.sleep(1);
});

test("a terminal is the program's own, with the size asked for", async () => {
  const child = await agent.box.launch({
    ...launchOf(["/bin/sh", "-c", "stty size; tty; stat -c '%u %a' $(tty); echo x > /dev/tty; read line; stty size; echo got $line"]),
    stdio: { columns: 100, rows: 30 },
  });
  if (!child.stdio) throw new Error("no terminal");
  child.resize(132, 43);
  writeAll(child.stdio.stdin, Buffer.from("hello\n"));
  const output = await readAll(child.stdio.stdout);
  expect(await child.exited).toBe(0);
  expect(output).toContain("/dev/pts/0");
  expect(output).toContain(`${AGENT_UID} 600`);
  expect(output).toContain("43 132");
  expect(output).toContain("got hello");
});

test("programs started at the same time do not mix", async () => {
  const results = await Promise.all(Array.from({ length: 6 }, (_, index) => agent.sh(`echo ${index}; exit ${index}`)));
  expect(results.map((result) => [result.stdout, result.code])).toEqual(Array.from({ length: 6 }, (_, index) => [`${index}\n`, index]));
});
