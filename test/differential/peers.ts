/** Other implementations of HTTP/1 on this machine, on loopback, and how they read bytes. */
import { type ChildProcess, spawn } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import type { Case } from "./corpus.ts";
import { originOf, type Reading, type ReadRequest } from "./reading.ts";
import { CLIENT_FIELD, Recorder } from "./recorder.ts";

export interface Peer extends AsyncDisposable {
  readonly name: string;
  /** Readings of all cases, in their order. */
  read(cases: readonly Pick<Case, "form" | "bytes">[]): Promise<readonly Reading[]>;
}

export interface PeerKind {
  readonly name: string;
  readonly program: string;
  /** Debian package. */
  readonly package: string;
  start(directory: string): Promise<Peer>;
}

export const PEERS: readonly PeerKind[] = [
  { name: "llhttp", program: "node", package: "nodejs", start: () => startNode("strict") },
  { name: "llhttp, lenient", program: "node", package: "nodejs", start: () => startNode("lenient") },
  { name: "haproxy", program: "haproxy", package: "haproxy", start: startHaproxy },
  { name: "squid", program: "squid", package: "squid", start: startSquid },
];

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Where the program is; undefined: this machine does not have it. */
export function find({ program }: PeerKind): string | undefined {
  return Bun.which(program, { PATH: `${process.env["PATH"] ?? ""}:${PATH}` }) ?? undefined;
}

/** Connections to one peer at once. */
const AT_ONCE = 512;
/** A peer closes each connection by its own time limits, of 5 s at most; a slow machine needs longer. */
const PATIENCE_MS = 60_000;

/** Sends each case on a connection of its own, until the peer closes it. Gives the client's address and whether the peer answered with an error. */
async function exchangeAll(
  cases: readonly Pick<Case, "form" | "bytes">[],
  portOf: (form: Case["form"]) => number,
): Promise<{ readonly client: string; readonly refused: boolean }[]> {
  const results: { client: string; refused: boolean }[] = [];
  for (let from = 0; from < cases.length; from += AT_ONCE)
    results.push(...(await Promise.all(cases.slice(from, from + AT_ONCE).map(({ form, bytes }) => exchange(portOf(form), bytes)))));
  return results;
}

let connections = 0;

/** Tells one connection from all others, which ports of clients do not for long. */
function ownAddress(): string {
  const count = ++connections;
  return `127.${1 + ((count >> 16) & 127)}.${(count >> 8) & 255}.${count & 255}`;
}

function exchange(port: number, bytes: Buffer): Promise<{ client: string; refused: boolean }> {
  return new Promise((resolve) => {
    const client = ownAddress();
    let received = "";
    const socket = connect({ port, host: "127.0.0.1", localAddress: client }, () => socket.write(bytes));
    socket.setTimeout(PATIENCE_MS, () => socket.destroy());
    socket.on("data", (piece) => {
      received += piece.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve({ client, refused: hasError(received) }));
  });
}

/** 408 is no refusal: more was waited for. */
function hasError(received: string): boolean {
  return [...received.matchAll(/HTTP\/1\.[01] (\d{3})/g)].some(([, status]) => !["100", "200", "408"].includes(status ?? ""));
}

interface Line {
  readonly id?: number;
  readonly client?: string;
  readonly method?: string;
  readonly target?: string;
  readonly host?: string;
  readonly body?: string;
  readonly end?: boolean;
  readonly echo?: string;
  readonly listening?: boolean;
}

async function startNode(mode: "strict" | "lenient"): Promise<Peer> {
  const port = await freePort();
  const child = spawn("node", [join(import.meta.dir, "node-server.mjs"), String(port), mode], { stdio: ["pipe", "pipe", "inherit"] });
  const requests = new Map<string, { -readonly [Name in keyof ReadRequest]: ReadRequest[Name] }[]>();
  const open: { body: string; complete: boolean }[] = [];
  let hear: (line: Line) => void = () => {};
  let partial = "";
  child.stdout.on("data", (piece: Buffer) => {
    const lines = (partial + piece.toString()).split("\n");
    partial = lines.pop() ?? "";
    for (const text of lines) {
      const line = JSON.parse(text) as Line;
      const { id, client, method = "", target = "", host = "", body = "" } = line;
      if (client !== undefined && id !== undefined) {
        const request = { method, ...originOf(method, target, host), body: "", complete: false };
        open[id] = request;
        requests.set(client, [...(requests.get(client) ?? []), request]);
      } else if (id !== undefined) {
        const request = open[id];
        if (request !== undefined) request.body += body;
        if (request !== undefined && line.end === true) request.complete = true;
      } else hear(line);
    }
  });
  const heard = (wanted: (line: Line) => boolean) =>
    new Promise<void>((resolve, reject) => {
      child.once("exit", () => reject(new Error("node ended")));
      hear = (line) => wanted(line) && resolve();
    });
  await heard(({ listening }) => listening === true);
  return {
    name: mode === "strict" ? "llhttp" : "llhttp, lenient",
    async read(cases) {
      requests.clear();
      const exchanged = await exchangeAll(cases, () => port);
      const flushed = heard(({ echo }) => echo === "flush");
      child.stdin.write("flush\n");
      await flushed;
      return exchanged.map(({ client, refused }) => ({ requests: requests.get(client) ?? [], refused }));
    },
    [Symbol.asyncDispose]: () => stop(child),
  };
}

async function startHaproxy(directory: string): Promise<Peer> {
  const port = await freePort();
  const configuration = (backend: number) => `global
  maxconn 4000
defaults
  mode http
  retries 0
  timeout connect 10s
  timeout client 2s
  timeout server 5s
  timeout http-request 2s
  timeout http-keep-alive 1s
frontend all
  bind 127.0.0.1:${port} backlog 4096
  http-request set-header ${CLIENT_FIELD} %[src]
  default_backend recorder
backend recorder
  http-reuse never
  server recorder 127.0.0.1:${backend}
`;
  return await startProxy("haproxy", directory, configuration, (file) => ["haproxy", "-db", "-f", file], { origin: port, proxy: port });
}

async function startSquid(directory: string): Promise<Peer> {
  const [origin, proxy] = [await freePort(), await freePort()];
  const configuration = (backend: number) => `http_port 127.0.0.1:${origin} accel vhost defaultsite=a.example
http_port 127.0.0.1:${proxy}
cache_peer 127.0.0.1 parent ${backend} 0 no-query no-digest originserver name=recorder
never_direct allow all
http_access allow all
cache deny all
via off
forwarded_for delete
request_header_add ${CLIENT_FIELD} "%>a" all
server_persistent_connections off
client_idle_pconn_timeout 1 second
request_start_timeout 2 seconds
request_timeout 2 seconds
client_lifetime 5 seconds
read_timeout 10 seconds
access_log none
cache_log /dev/null
cache_store_log none
pid_filename none
pinger_enable off
netdb_filename none
shutdown_lifetime 0 seconds
max_filedescriptors 8192
visible_hostname squid.example
`;
  return await startProxy("squid", directory, configuration, (file) => ["squid", "-N", "-f", file], { origin, proxy });
}

async function startProxy(
  name: string,
  directory: string,
  configuration: (backend: number) => string,
  command: (file: string) => readonly string[],
  ports: Readonly<Record<Case["form"], number>>,
): Promise<Peer> {
  const recorder = await Recorder.open();
  const file = join(directory, `${name}.conf`);
  writeFileSync(file, configuration(recorder.port));
  const [program = "", ...words] = command(file);
  const child = spawn(program, words, { stdio: ["ignore", "ignore", "pipe"], env: { PATH } });
  let said = "";
  child.stderr.on("data", (piece: Buffer) => {
    said += piece.toString();
  });
  await listening(ports.proxy, child, () => said);
  return {
    name,
    async read(cases) {
      recorder.requests.clear();
      const exchanged = await exchangeAll(cases, (form) => ports[form]);
      return exchanged.map(({ client, refused }) => ({ requests: recorder.requests.get(client) ?? [], refused }));
    },
    async [Symbol.asyncDispose]() {
      await stop(child);
      await recorder[Symbol.asyncDispose]();
      rmSync(file, { force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function listening(port: number, child: ChildProcess, said: () => string): Promise<void> {
  const until = Date.now() + PATIENCE_MS;
  while (child.exitCode === null && Date.now() < until) {
    const up = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.destroy();
        resolve(true);
      });
      socket.on("error", () => resolve(false));
    });
    if (up) return;
    await Bun.sleep(50);
  }
  throw new Error(`${child.spawnfile} did not start: ${said().trim()}`);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}
