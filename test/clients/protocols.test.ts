/** gRPC, SSH, and servers that behave oddly: what a tunnel carries when it is not HTTP/1. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ODD_PORTS } from "../internet/servers/odd.ts";
import { GIT_PORT, GRPC_PORT, SSH_PORT } from "../internet/topology.ts";
import { Inside, installed, missingFor, pathOf } from "./inside.ts";
import { GIT_IDENTITY, serveRepository } from "./served.ts";

const node = installed("Node.js", "/usr/bin/node");
const ssh = installed("ssh", "/usr/bin/ssh");
const python = installed("Python", "/usr/bin/python3");
const git = installed("git", "/usr/bin/git");
const gitDaemon = installed("git's daemon", "/usr/lib/git-core/git-daemon", "/usr/libexec/git-core/git-daemon");

const noGrpc = missingFor("grpc-js", node);
describe.skipIf(noGrpc !== undefined)("grpc-js", () => {
  let inside: Inside;
  let call: (host: string, method: string, text: string) => string[];
  beforeAll(async () => {
    const modules = join(import.meta.dir, "../../node_modules");
    inside = await Inside.open(
      [{ binaries: [pathOf(node)], endpoints: [`grpc.example.com:${GRPC_PORT}`] }],
      ["--mount", `${modules}:/node_modules`],
    );
    const script = inside.place("call.cjs");
    writeFileSync(
      script,
      `const { Client, credentials } = require("@grpc/grpc-js");
const [address, method, text] = process.argv.slice(2);
const bytes = (value) => Buffer.from(value);
const client = new Client(address, credentials.createInsecure());
client.makeUnaryRequest("/test.Echo/" + method, bytes, String, text, { deadline: Date.now() + 10000 }, (error, answer) => {
  if (error) { console.log(error.code, error.details); process.exitCode = 1; } else console.log(answer);
  client.close();
});`,
    );
    call = (address, method, text) => [pathOf(node), "/call.cjs", address, method, text];
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());
  const mount = () => ["--mount", `${inside.place("call.cjs")}:/call.cjs`];

  test("a call with no argument about proxies reaches an allowed host, and errors come back as they are", async () => {
    const answer = await inside.run(call(`grpc.example.com:${GRPC_PORT}`, "Say", "hello"), mount());
    expect(answer).toMatchObject({ exitCode: 0, stdout: "hello\n" });
    expect((await inside.run(call(`grpc.example.com:${GRPC_PORT}`, "Fail", "x"), mount())).stdout).toBe("5 no such thing\n");
    const seen = (await inside.net.seen()).requests.filter(({ port }) => port === GRPC_PORT);
    expect(seen.map(({ path, host }) => [path, host])).toEqual([
      ["/test.Echo/Say", `grpc.example.com:${GRPC_PORT}`],
      ["/test.Echo/Fail", `grpc.example.com:${GRPC_PORT}`],
    ]);
  });

  test("another host is refused: UNAVAILABLE", async () => {
    const { stdout } = await inside.refused(call(`other.example.com:${GRPC_PORT}`, "Say", "hello"), mount());
    expect(stdout).toMatch(/^14 /);
  });
});

const noGit = missingFor("git's own protocol", git, gitDaemon);
describe.skipIf(noGit !== undefined)("git://", () => {
  let inside: Inside;
  beforeAll(async () => {
    inside = await Inside.open([{ binaries: [pathOf(git)], endpoints: [`git.example.com:${GIT_PORT}`] }], GIT_IDENTITY);
    serveRepository(inside);
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());

  test("case-60: clone, fetch and push pass where the policy allows the port; git knows no proxy for it", async () => {
    const { exitCode, stdout, stderr } = await inside.script(
      `git clone -q git://git.example.com/project.git work; cd work; cat file; echo two > file; git commit -qam second
       git push -q origin main; git fetch -q; git rev-list --count origin/main`,
    );
    expect({ exitCode, errors: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, errors: "" });
    expect(stdout).toBe("one\n2\n");
    expect(stderr).toMatch(new RegExp(`ALLOWED .*git.*git\\.example\\.com:${GIT_PORT}`));
  });

  test("case-61: another host is refused, and nobody sees a packet", async () => {
    const { stderr } = await inside.refused(["git", "clone", "-q", "git://other.example.com/project.git"]);
    expect(stderr).toMatch(new RegExp(`DENIED .*other\\.example\\.com:${GIT_PORT}`));
  });
});

/** What people put into ProxyCommand where nc(1) has no CONNECT: half a page that copies both ways. */
const PROXY_COMMAND = `
import os, socket, sys, threading
proxy = os.environ["https_proxy"].split("//")[1].split(":")
link = socket.create_connection((proxy[0], int(proxy[1])))
link.sendall(b"CONNECT %s:%s HTTP/1.0\\r\\n\\r\\n" % (sys.argv[1].encode(), sys.argv[2].encode()))
head = b""
while b"\\r\\n\\r\\n" not in head:
    piece = link.recv(1)
    if not piece: sys.exit("closed")
    head += piece
if b" 200 " not in head.split(b"\\r\\n")[0]: sys.exit(head.decode())
def up():
    while data := os.read(0, 65536): link.sendall(data)
    link.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while data := link.recv(65536): os.write(1, data)
`;

const noSsh = missingFor("ssh", ssh, python);
describe.skipIf(noSsh !== undefined)("ssh with a ProxyCommand", () => {
  let inside: Inside;
  const connect = (host: string) => [
    "ssh",
    "-v",
    "-F",
    "none",
    "-o",
    "BatchMode=yes",
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
    "-o",
    "ProxyCommand=/usr/bin/python3 /connect.py %h %p",
    "-p",
    String(SSH_PORT),
    `somebody@${host}`,
  ];
  const mount = () => ["--mount", `${inside.place("connect.py")}:/connect.py`];
  beforeAll(async () => {
    // ssh is what the person allowed; the helper that it starts connects.
    inside = await Inside.open([{ binaries: [pathOf(ssh)], endpoints: [`ssh.example.com:${SSH_PORT}`] }]);
    writeFileSync(inside.place("connect.py"), PROXY_COMMAND);
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());

  test("reaches an allowed server and no other", async () => {
    expect((await inside.run(connect("ssh.example.com"), mount())).stderr).toMatch(/remote software version TestInternet/);
    const { stderr } = await inside.refused(connect("other.example.com"), mount());
    expect(stderr).toContain("403");
    expect(stderr).not.toContain("TestInternet");
  });

  test("the helper alone, without ssh above it, is another program", async () => {
    await inside.refused(["/usr/bin/python3", "/connect.py", "ssh.example.com", String(SSH_PORT)], mount());
  });
});

/** Prints what a raw tunnel gives until its end, and how it ended. `half`: ends its own side first. */
const RAW = `
import os, socket, sys
host, port, mode = sys.argv[1:4]
link = socket.create_connection(("10.200.0.1", 3128), timeout=10)
link.sendall(f"CONNECT {host}:{port} HTTP/1.1\\r\\nHost: {host}:{port}\\r\\n\\r\\n".encode())
data = b""
while b"\\r\\n\\r\\n" not in data: data += link.recv(1)
body, pieces = b"", 0
if mode == "half":
    body = link.recv(6); link.shutdown(socket.SHUT_WR)
if mode == "poke": link.sendall(b"x")
if mode == "flood":
    link.settimeout(1); sent = 0
    try:
        while sent < 1 << 30: sent += link.send(b"x" * 65536)
    except TimeoutError: print("blocked", sent < 128 << 20); sys.exit(0)
    sys.exit("never blocked")
try:
    while piece := link.recv(4096): body += piece; pieces += 1
    print("end", pieces > 5, body.decode())
except ConnectionResetError: print("reset", body.decode())
`;

const noPython = missingFor("odd servers", python);
describe.skipIf(noPython !== undefined)("servers with odd habits, through a tunnel", () => {
  let inside: Inside;
  beforeAll(async () => {
    const endpoints = Object.values(ODD_PORTS).map((port) => `api.example.com:${port}`);
    inside = await Inside.open([{ binaries: [pathOf(python)], endpoints }]);
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());
  const raw = async (port: number, mode: string) =>
    (await inside.run(["/usr/bin/python3", "-c", RAW, "api.example.com", String(port), mode])).stdout;

  test("one byte at a time arrives as it comes", async () => {
    expect(await raw(ODD_PORTS.drip, "read")).toBe("end True one byte at a time\n\n");
  });

  test("a reset in the middle is a reset, not an orderly end", async () => {
    expect(await raw(ODD_PORTS.reset, "poke")).toMatch(/^reset (begin)?\n$/);
  });

  test("an end of one side leaves the other open", async () => {
    expect(await raw(ODD_PORTS.greeting, "half")).toBe("end False hello\ngoodbye\n\n");
  });

  // Two connections at the kernel's own maxima hold 2 × (4 MiB written + 32 MiB received); the rest would be ours.
  test("a server that does not read stops the client, with bounded memory", async () => {
    expect(await raw(ODD_PORTS.silent, "flood")).toBe("blocked True\n");
  });
});
