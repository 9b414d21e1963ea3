/** HTTP and HTTPS servers on every address of the test internet. They answer with what they were asked, a few known hosts with more. */
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer, type Socket } from "node:net";
import type { Writable } from "node:stream";
import { TLSSocket } from "node:tls";
import type { TestCa } from "../certificates.ts";
import type { Remembered, SeenConnection, SeenRequest } from "../seen.ts";
import { serveWebSocket } from "./apis.ts";
import type { Site } from "./sites.ts";

export interface Ledger {
  readonly connections: Remembered<SeenConnection>;
  readonly requests: Remembered<SeenRequest>;
}

/** IPv4 addresses of a dual-stack socket arrive as `::ffff:a.b.c.d`. */
export function plainAddress(address: string | undefined): string {
  return (address ?? "").replace(/^::ffff:/, "");
}

const targets = new WeakMap<object, SeenConnection>();

type Sites = ReadonlyMap<string, Site>;

/** A client that goes away in the middle of its request gets no answer, and is nobody's fault. */
function untilGone(serve: (request: IncomingMessage, response: ServerResponse) => Promise<void>) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    serve(request, response).catch((reason: unknown) => {
      if (!request.destroyed || request.complete) throw reason;
    });
  };
}

function serve(scheme: "http" | "https", ledger: Ledger, sites: Sites) {
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const site = sites.get((request.headers.host ?? "").replace(/:\d+$/, ""));
    const pieces: Buffer[] = [];
    let bodyBytes = 0;
    let stallSeconds = stallOf(request.url ?? "");
    for await (const chunk of request) {
      bodyBytes += (chunk as Buffer).length;
      if (stallSeconds > 0 && bodyBytes > STALLED_AFTER_BYTES) {
        await Bun.sleep(stallSeconds * 1000);
        stallSeconds = 0;
      }
      if (site !== undefined) pieces.push(chunk as Buffer);
    }
    const { address = "", port = 0 } = targets.get(request.socket) ?? {};
    const method = request.method ?? "";
    const path = request.url ?? "";
    const seen: SeenRequest = { scheme, method, path, host: request.headers.host ?? "", address, port };
    ledger.requests.add(seen);
    if (site !== undefined) {
      await site(request, Buffer.concat(pieces), response);
      return;
    }
    const wanted = /^\/bytes\/(\d+)$/.exec(path)?.[1];
    if (wanted !== undefined) {
      response.writeHead(200, { "content-length": wanted });
      pourBytes(response, Number(wanted));
      return;
    }
    const body = JSON.stringify({ ...seen, headers: request.headers, bodyBytes });
    response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
    response.end(body);
  };
}

/** Of a body whose reader stops for a while, what is read before that. */
export const STALLED_AFTER_BYTES = 1_048_576;

/** For how many seconds the body of a request to this path is not read in the middle. */
export function stallOf(path: string): number {
  return Number(/\/stall\/(\d+)$/.exec(path)?.[1] ?? 0);
}

/** As many bytes as that, as fast as they are taken. */
export function pourBytes(stream: Writable, size: number): void {
  const block = Buffer.alloc(65_536, 7);
  let left = size;
  const pour = () => {
    while (left > 0) {
      const piece = block.subarray(0, Math.min(left, block.length));
      left -= piece.length;
      if (!stream.write(piece)) return;
    }
    stream.removeListener("drain", pour);
    stream.end();
  };
  stream.on("drain", pour);
  pour();
}

/** Any path of any host takes a WebSocket; its messages are remembered as requests. */
function upgrade(scheme: "http" | "https", ledger: Ledger) {
  return (request: IncomingMessage, socket: Socket, head: Buffer): void => {
    const { address = "", port = 0 } = targets.get(socket) ?? {};
    const seen = { scheme, host: request.headers.host ?? "", path: request.url ?? "", address, port };
    ledger.requests.add({ ...seen, method: "UPGRADE" });
    serveWebSocket(request, socket, head, (message) => ledger.requests.add({ ...seen, method: message }));
  };
}

async function listen(port: number, accept: (socket: Socket) => void, ledger: Ledger): Promise<void> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    const target = { address: plainAddress(socket.localAddress), port };
    ledger.connections.add(target);
    targets.set(socket, target);
    accept(socket);
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "::", resolve));
}

/** Plain HTTP on `port`. */
export async function serveHttp(port: number, ledger: Ledger, sites: Sites = new Map()): Promise<void> {
  const http = createHttpServer(untilGone(serve("http", ledger, sites))).on("upgrade", upgrade("http", ledger));
  await listen(port, (socket) => http.emit("connection", socket), ledger);
}

/** HTTPS on `port`, with a certificate for whatever name (or else address) the client asks for. */
export async function serveHttps(port: number, ca: TestCa, ledger: Ledger, sites: Sites = new Map()): Promise<void> {
  const http = createHttpServer(untilGone(serve("https", ledger, sites))).on("upgrade", upgrade("https", ledger));
  await listen(
    port,
    async (socket) => {
      const target = targets.get(socket);
      const secureContext = await ca.context(target?.address ?? "localhost");
      const tls = new TLSSocket(socket, {
        isServer: true,
        secureContext,
        SNICallback: (name, done) => ca.context(name).then((context) => done(null, context), done),
      });
      tls.on("error", () => tls.destroy());
      if (target !== undefined) targets.set(tls, target);
      http.emit("connection", tls);
    },
    ledger,
  );
}
