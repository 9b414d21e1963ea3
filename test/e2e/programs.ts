/** Two different programs that can fetch a URL from inside a sandbox: one that a policy allows, one that it does not. */
import { copyFileSync, existsSync, realpathSync } from "node:fs";
import { join } from "node:path";

export interface Program {
  readonly name: string;
  /** The executable, as the kernel names it (links resolved). */
  readonly path: string;
  /** Fetches over the proxy of the environment. Exit code 0 only when the body arrived, which goes to stdout. */
  fetch(url: string): string[];
  /** Connects straight to an HTTP server's address and port, ignoring the proxy. Exit code 0 only when the server answered. */
  dial(address: string, port: number): string[];
}

const NODE_FETCH = `
const { request } = require("node:http");
const [proxy, target] = [new URL(process.env.http_proxy), process.argv[1]];
request({ host: proxy.hostname, port: proxy.port, path: target, headers: { host: new URL(target).host } }, (answer) => {
  answer.pipe(process.stdout);
  answer.on("end", () => { process.exitCode = answer.statusCode === 200 ? 0 : 22; });
}).on("error", (error) => { console.error(error.message); process.exitCode = 7; }).end();`;

const NODE_DIAL = `
const [host, port] = process.argv.slice(1);
require("node:net").connect({ host, port: Number(port) }, function () { this.write("GET / HTTP/1.0\\r\\n\\r\\n"); })
  .on("data", () => process.exit(0)).on("end", () => process.exit(56))
  .on("error", (error) => { console.error(error.message); process.exit(7); }).setTimeout(3000, () => process.exit(28));`;

const PYTHON_FETCH = `
import sys, urllib.request
sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())`;

const PYTHON_DIAL = `
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)
s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
sys.exit(0 if s.recv(1) else 56)`;

const PERL_FETCH = `
use HTTP::Tiny; my $r = HTTP::Tiny->new(timeout => 10)->get($ARGV[0]); print $r->{content}; exit($r->{success} ? 0 : 22);`;

const PERL_DIAL = `
use IO::Socket::IP; $SIG{PIPE} = "IGNORE"; alarm 3;
my $s = IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => $ARGV[1], Timeout => 3) or exit 7;
syswrite $s, "GET / HTTP/1.0\\r\\n\\r\\n"; exit(sysread($s, my $byte, 1) ? 0 : 56);`;

function bracket(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

/** A JavaScript runtime as a client; Node and Bun both understand the two scripts. */
function runtime(name: string, path: string): Program {
  return {
    name,
    path,
    fetch: (url) => [path, "-e", NODE_FETCH, url],
    dial: (address, port) => [path, "-e", NODE_DIAL, address, String(port)],
  };
}

const candidates: readonly Program[] = [
  {
    name: "curl",
    path: "/usr/bin/curl",
    fetch: (url) => ["/usr/bin/curl", "-sS", "--fail-with-body", "--max-time", "10", "-k", url],
    dial: (address, port) => ["/usr/bin/curl", "-sS", "--noproxy", "*", "--max-time", "3", "-k", `http://${bracket(address)}:${port}/`],
  },
  {
    name: "python",
    path: "/usr/bin/python3",
    fetch: (url) => ["/usr/bin/python3", "-c", PYTHON_FETCH, url],
    dial: (address, port) => ["/usr/bin/python3", "-c", PYTHON_DIAL, address, String(port)],
  },
  {
    name: "perl",
    path: "/usr/bin/perl",
    fetch: (url) => ["/usr/bin/perl", "-e", PERL_FETCH, url],
    dial: (address, port) => ["/usr/bin/perl", "-e", PERL_DIAL, address, String(port)],
  },
  runtime("node", "/usr/bin/node"),
];

/** Where copies of a runtime appear in the sandbox, when the machine has nothing better: in the workspace. */
const COPIES = ["agent-a", "agent-b"] as const;

const installed = candidates.filter(({ path }) => existsSync(path)).map((program) => ({ ...program, path: realpathSync(program.path) }));

/** True when the programs are copies that `providePrograms` has to put into the workspace. */
const copied = installed.length < 2;

/** The allowed program and the other one: the best known of this machine, else two copies of one runtime at different paths. */
export const [allowed, other] = (copied ? COPIES.map((name) => runtime(name, `/sandbox/${name}`)) : installed) as [Program, Program];

/** Puts the copies, if they are needed, into a sandbox's workspace directory on the host. */
export function providePrograms(workspace: string): void {
  if (!copied) return;
  const source = realpathSync(Bun.which("node") ?? process.execPath);
  for (const name of COPIES) copyFileSync(source, join(workspace, name));
}
