import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeAll } from "../../../linux/descriptors.ts";
import { AGENT_UID, collect, launchOf, openTestBox, readAll, type TestBox } from "./box-fixture.ts";
import type { Child } from "./contract.ts";
import { OWN_PROGRAM_PATH } from "./session-view.ts";

let agent: TestBox;
beforeAll(async () => {
  agent = await openTestBox();
});
afterAll(() => agent[Symbol.asyncDispose]());

/** A shell with a terminal that says its pid and waits for a line. */
async function waiting(): Promise<{
  readonly child: Child;
  readonly terminal: number;
  readonly pid: string;
}> {
  const child = await agent.box.launch({
    ...launchOf(["/bin/sh", "-c", "echo $$ > pid.$PPID.tmp; mv pid.$PPID.tmp pid; tty; read line; echo got $line"]),
    stdio: { columns: 80, rows: 24 },
  });
  if (!child.stdio) throw new Error("no terminal");
  const pid = (await agent.sh("while ! [ -s pid ]; do sleep 0.01; done; cat pid; rm pid")).stdout.trim();
  return { child, terminal: child.stdio.stdin, pid };
}

test("threat-32 terminals are strangers to each other and to programs without one", async () => {
  const [one, two] = [await waiting(), await waiting()];
  const seen = await agent.sh(`ls /dev/pts; ls /proc/${one.pid}/fd; echo injected > /proc/${one.pid}/fd/0; echo injected > /dev/pts/0`);
  expect(seen.stdout).toBe("ptmx\n");
  for (const { terminal } of [one, two]) writeAll(terminal, Buffer.from("mine\n"));
  for (const { child, terminal } of [one, two]) {
    const text = await readAll(terminal);
    expect(text).toContain("/dev/pts/0");
    expect(text).toContain("got mine");
    expect(text).not.toContain("injected");
    expect(await child.exited).toBe(0);
  }
});

test("a program with a terminal opens further terminals of its own", async () => {
  const child = await agent.box.launch({
    ...launchOf(["/usr/bin/perl", "-e", 'open(my $m, "+<", "/dev/ptmx") or die "no: $!"; print -e "/dev/pts/1" ? "second\\n" : "none\\n"']),
    stdio: { columns: 80, rows: 24 },
  });
  if (!child.stdio) throw new Error("no terminal");
  expect(await readAll(child.stdio.stdout)).toContain("second");
});

test("threat-33 our own executable runs confined when it is asked for, and only that launch sees it", async () => {
  const script =
    'const { readFileSync } = require("node:fs"); console.log(process.getuid(), /NoNewPrivs:\\t1/.test(readFileSync("/proc/self/status", "utf8")), process.execPath)';
  const child = await agent.box.launch({ ...launchOf(["-e", script], { BUN_BE_BUN: "1" }), ownProgram: true });
  const hidden = agent.sh(`ls -A /proc/1; ${OWN_PROGRAM_PATH} --version`);
  expect(await collect(child)).toEqual({ code: 0, stdout: `${AGENT_UID} true ${OWN_PROGRAM_PATH}\n`, stderr: "" });
  const result = await hidden;
  expect([result.stdout, result.code]).toEqual(["", 127]);
});

test("threat-33 our own executable cannot be written by the program that runs it", async () => {
  const script = `try { require("node:fs").openSync(${JSON.stringify(OWN_PROGRAM_PATH)}, "r+"); console.log("open") } catch (error) { console.log(error.code) }`;
  const { stdout } = await collect(await agent.box.launch({ ...launchOf(["-e", script], { BUN_BE_BUN: "1" }), ownProgram: true }));
  expect(["EACCES\n", "EROFS\n", "ETXTBSY\n"]).toContain(stdout);
});

const LISTEN = (address: string) =>
  `use IO::Socket::IP; $s = IO::Socket::IP->new(Listen => 5, LocalHost => "${address}", LocalPort => 7100, V6Only => 1) or die "$@"; print "up\\n"; $| = 1; STDOUT->flush; $c = $s->accept; print $c "hello"; close $c;`;

for (const address of ["127.0.0.1", "127.1.2.3", "::1"]) {
  test(`case-99 a service on ${address} of the box is reached from outside, by a socket of the box`, async () => {
    const child = await agent.box.launch(launchOf(["/usr/bin/perl", "-e", LISTEN(address)]));
    if (!child.stdio) throw new Error("no pipes");
    await Bun.file(child.stdio.stdout).stream().getReader().read();
    const socket = await agent.box.connectLoopback({ address, port: 7100 });
    const stream = await (await import("../ssh/socket-stream.ts")).openSocketStream(socket);
    const pieces: Buffer[] = [];
    for await (const piece of stream) pieces.push(piece as Buffer);
    expect(Buffer.concat(pieces).toString()).toBe("hello");
    expect(await child.exited).toBe(0);
  });
}

test("case-99 only loopback addresses, and only where something listens", async () => {
  for (const address of ["10.200.0.1", "10.200.0.2", "0.0.0.0", "::", "169.254.169.254", "not an address"])
    await expect(agent.box.connectLoopback({ address, port: 3128 })).rejects.toThrow("is not a loopback address");
  await expect(agent.box.connectLoopback({ address: "127.0.0.1", port: 7999 })).rejects.toThrow("ECONNREFUSED");
});

test("case-99 the supervisor's own loopback is another one", async () => {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  await expect(agent.box.connectLoopback({ address: "127.0.0.1", port: listener.port })).rejects.toThrow("ECONNREFUSED");
  listener.stop(true);
  // Nothing of it is left in init: descriptors would add up with each connection.
  for (let index = 0; index < 50; index += 1)
    await agent.box.connectLoopback({ address: "127.0.0.1", port: 7999 }).catch((error) => expect(String(error)).toContain("ECONNREFUSED"));
});
