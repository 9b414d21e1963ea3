import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { duplicate } from "../../../linux/descriptors.ts";
import { launchOf, openTestBox, type TestBox } from "./box-fixture.ts";
import type { Identification } from "./contract.ts";
import { allocateTable, IdentityReader, IdentityWriter } from "./identity-table.ts";

/** Every connection to the proxy's listener is identified when it is accepted and told to the client. */
let agent: TestBox;
let server: { stop(force: boolean): void };
const seen: Identification[] = [];
/** Identified a second time when the client has sent something. */
const seenLater: Identification[] = [];

beforeAll(async () => {
  agent = await openTestBox();
  const ends = (socket: Bun.Socket) =>
    [
      { address: socket.remoteAddress, port: socket.remotePort },
      { address: socket.localAddress, port: socket.localPort },
    ] as const;
  server = Bun.listen({
    fd: duplicate(agent.box.listeners.proxy),
    socket: {
      open(socket: Bun.Socket) {
        seen.push(agent.box.identify(...ends(socket)));
      },
      data(socket: Bun.Socket) {
        seenLater.push(agent.box.identify(...ends(socket)));
        socket.end("ok\n");
      },
    },
  } as unknown as Parameters<typeof Bun.listen>[0]);
});
afterAll(async () => {
  server.stop(true);
  await agent[Symbol.asyncDispose]();
});

const connect = `socket(S, 2, 1, 0); connect(S, pack_sockaddr_in(3128, inet_aton("10.200.0.1"))) or die "$!"; `;
const perl = (script: string) => agent.run(["/usr/bin/perl", "-MSocket", "-e", script]);
const describeLast = (list: Identification[]) => {
  const last = list.at(-1);
  return last?.known ? { exe: last.program.exe, ancestors: last.program.ancestors } : last;
};

test("threat-01: the program is the image that called connect, with its ancestors", async () => {
  await perl(`${connect} syswrite(S, "x"); sysread(S, my $b, 9)`);
  expect(describeLast(seen)).toEqual({ exe: await realPath("/usr/bin/perl"), ancestors: [] });
  await agent.sh(`perl -MSocket -e '${connect} syswrite(S, "x"); sysread(S, my $b, 9)'; true`);
  expect(describeLast(seen)).toEqual({ exe: await realPath("/usr/bin/perl"), ancestors: [await realPath("/bin/sh")] });
  const last = seen.at(-1);
  expect(last?.known && last.program.commandLine).toContain("perl -MSocket");
});

test("threat-02: executing another program after connect changes nothing", async () => {
  const { stdout } = await perl(`$^F = 99; ${connect} my $f = fileno(S); exec "/bin/sh", "-c", "echo x >&$f; head -c 3 <&$f"`);
  expect(stdout).toBe("ok\n");
  expect(describeLast(seenLater)).toEqual({ exe: await realPath("/usr/bin/perl"), ancestors: [] });
});

test("threat-07: memory that is writable and executable at once is a finding about the program", async () => {
  const mmap = process.arch === "arm64" ? 222 : 9;
  const converse = `${connect} syswrite(S, "x"); sysread(S, my $b, 9);`;
  const finding = () => {
    const last = seen.at(-1);
    return last?.known ? last.program.writableCode : last;
  };
  await perl(converse);
  expect(finding()).toBeUndefined();
  // PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS
  await perl(`syscall(${mmap}, 0, 4096, 7, 0x22, -1, 0) > 0 or die "$!"; ${converse}`);
  expect(finding()).toBe(true);
});

test("a second program that calls connect on the same socket makes it ambiguous for good", async () => {
  const again =
    'open(S, "+<&=", $ARGV[0]); connect(S, pack_sockaddr_in(3128, inet_aton("10.200.0.1"))); syswrite(S, "x"); sysread(S, my $b, 9)';
  writeFileSync(join(agent.spec.workspace, "again.pl"), `use Socket; ${again}`);
  await perl(`$^F = 99; ${connect} exec "/bin/sh", "-c", "perl again.pl " . fileno(S) . "; true"`);
  expect(describeLast(seenLater)).toMatchObject({ known: false, code: "ambiguous" });
});

test("a program whose file was removed is unknown", async () => {
  await agent.sh(`cp $(readlink -f /usr/bin/perl) /sandbox/p; /sandbox/p -e 'unlink "/sandbox/p"; require Socket; Socket->import(":DEFAULT");
    socket(S, 2, 1, 0); connect(S, Socket::pack_sockaddr_in(3128, Socket::inet_aton("10.200.0.1"))); syswrite(S, "x"); sysread(S, my $b, 9)'`);
  expect(describeLast(seen)).toMatchObject({ known: false, code: "kernel_error" });
});

test("IPv4 through an IPv6 socket is the same connection", async () => {
  await perl(
    `socket(S, 10, 1, 0); connect(S, pack_sockaddr_in6(3128, Socket::inet_pton(10, "::ffff:10.200.0.1"))) or die "$!"; syswrite(S, "x"); sysread(S, my $b, 9)`,
  );
  expect(describeLast(seen)).toEqual({ exe: await realPath("/usr/bin/perl"), ancestors: [] });
});

test("a thread that is not the leader is identified by its process", async () => {
  const script =
    "import threading,socket\ndef f():\n s=socket.create_connection(('10.200.0.1',3128)); s.send(b'x'); s.recv(9)\nt=threading.Thread(target=f); t.start(); t.join()";
  const python = await agent.sh("readlink -f /usr/bin/python3");
  if (!python.stdout.startsWith("/usr/bin")) return;
  expect((await agent.run(["/usr/bin/python3", "-c", script])).code).toBe(0);
  expect(describeLast(seen)).toEqual({ exe: python.stdout.trim(), ancestors: [] });
});

test("two programs at once are told apart", async () => {
  seen.length = 0;
  await Promise.all([
    perl(`${connect} syswrite(S, "x"); sysread(S, my $b, 9)`),
    agent.sh(`exec perl -MSocket -e '${connect} syswrite(S, "x"); sysread(S, my $b, 9)'`),
    agent.run(["/bin/bash", "-c", "exec 3<>/dev/tcp/10.200.0.1/3128; echo x >&3; head -c 3 <&3"]),
  ]);
  const programs = seen.map((one) => (one.known ? one.program.exe : one.reason));
  const perlPath = await realPath("/usr/bin/perl");
  expect(programs.sort()).toEqual([await realPath("/bin/bash"), perlPath, perlPath].sort());
});

test("a connection that was closed at once, or never was, is not established", async () => {
  const nobody = agent.box.identify({ address: "10.200.0.2", port: 1 }, { address: "10.200.0.1", port: 3128 });
  expect(nobody).toMatchObject({ known: false, code: "not_established" });
  expect(agent.box.identify({ address: "nonsense", port: 1 }, { address: "10.200.0.1", port: 3128 })).toMatchObject({
    known: false,
    code: "kernel_error",
  });
});

test("threat-10: another program's listener on that port is not an answer", async () => {
  const child = await agent.box.launch(
    launchOf([
      "/usr/bin/perl",
      "-MSocket",
      "-e",
      `socket(L, 2, 1, 0); bind(L, pack_sockaddr_in(4567, "\\0\\0\\0\\0")); listen(L, 5); $| = 1; print "up\\n"; sleep 60`,
    ]),
  );
  const reader = Bun.file(child.stdio?.stdout ?? 0)
    .stream()
    .getReader();
  await reader.read();
  const answer = agent.box.identify({ address: "10.200.0.2", port: 4567 }, { address: "10.200.0.1", port: 3128 });
  expect(answer).toMatchObject({ known: false, code: "not_established" });
  child.signal(9);
  expect(await child.exited).toBe(137);
});

test("the ring forgets the oldest record and keeps the newest", () => {
  const table = allocateTable();
  const writer = new IdentityWriter(table);
  const reader = new IdentityReader(table);
  for (let cookie = 1n; cookie <= 2049n; cookie += 1n) writer.put(cookie, { kind: "unknown", reason: String(cookie) });
  expect(reader.find(1n)).toBeUndefined();
  expect(reader.find(2n)).toEqual({ kind: "unknown", reason: "2" });
  expect(reader.find(2049n)).toEqual({ kind: "unknown", reason: "2049" });
  writer.put(2n, { kind: "ambiguous" });
  expect(reader.find(2n)).toEqual({ kind: "ambiguous" });
  writer.put(1n << 40n, { kind: "unknown", reason: "x".repeat(5000) });
  expect(reader.find(1n << 40n)).toMatchObject({ kind: "unknown", reason: expect.stringContaining("4096") });
});

async function realPath(path: string): Promise<string> {
  return (await agent.sh(`readlink -f ${path}`)).stdout.trim();
}
