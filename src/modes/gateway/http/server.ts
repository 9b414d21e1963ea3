import { readFileSync } from "node:fs";
import { createServer as createPlainHttp, type ServerResponse } from "node:http";
import { createServer as createPlainHttp2, createSecureServer } from "node:http2";
import { type AddressInfo, createServer, isIP, type Server, type Socket } from "node:net";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { OpenShellError } from "../../../error.ts";
import type { Pki } from "../auth/pki.ts";
import { contextValues } from "./context-values.ts";
import type { pages } from "./health.ts";

export interface ServerOptions {
  readonly port: number;
  /** Undefined: 127.0.0.1 and ::1. */
  readonly bindAddress: string | undefined;
  /** Undefined: plaintext (HTTP/1.1 and h2c on the same port). */
  readonly pki: Pki | undefined;
  readonly routes: (router: ConnectRouter) => void;
  readonly pages: ReturnType<typeof pages>;
  /** Connections at a time; absent: what the process's descriptors allow. */
  readonly mostConnections?: number;
  /** Time for a connection's handshake, or its first bytes in the clear; absent: 10 s. Milliseconds. */
  readonly handshakeTimeout?: number;
}

export interface Listening {
  readonly port: number;
  readonly addresses: readonly string[];
  /** Stops accepting and ends every connection. */
  close(): Promise<void>;
}

/** Calls that one connection may have in flight: supervisors and screens hold a few, a batch of execs some dozens. */
const MAX_CONCURRENT_STREAMS = 256;

/** Bytes of an answer that is worth compressing: up to there a processor takes longer to pack it than a network to carry it, and most callers are on this machine. */
const COMPRESS_FROM = 256 * 1024;

/** Serves gRPC, gRPC-Web, Connect and the pages on one port, on both loopback addresses unless told otherwise. */
export async function listen(options: ServerOptions): Promise<Listening> {
  const plaintext = options.pki === undefined;
  if (plaintext && options.bindAddress !== undefined && !isLoopback(options.bindAddress)) {
    throw new OpenShellError("invalid_argument", `--disable-tls serves loopback addresses only, not ${options.bindAddress}`, {
      next: "leave --disable-tls out",
    });
  }
  const handler = connectNodeAdapter({
    routes: options.routes,
    fallback: options.pages as Parameters<typeof connectNodeAdapter>[0]["fallback"] & {},
    contextValues: (request) => contextValues(request, plaintext),
    compressMinBytes: COMPRESS_FROM,
  });
  const serve = answering(handler);
  const timeout = options.handshakeTimeout ?? HANDSHAKE_TIMEOUT;
  const make = options.pki === undefined ? () => plainServer(serve, timeout) : secureServer(serve, options.pki, timeout);
  const wanted = options.bindAddress === undefined ? ["127.0.0.1", "::1"] : [options.bindAddress];
  const servers: Server[] = [];
  const connections = new Set<Socket>();
  const most = options.mostConnections ?? mostConnections();
  let { port } = options;
  const addresses: string[] = [];
  for (const address of wanted) {
    const server = make();
    server.on("connection", (socket: Socket) => {
      if (connections.size >= most) {
        socket.destroy();
        return;
      }
      connections.add(socket);
      socket.on("error", () => {}); // a peer that breaks off is not our failure
      socket.once("close", () => connections.delete(socket));
    });
    try {
      port = await bind(server, address, port);
      servers.push(server);
      addresses.push(address);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // A machine without IPv6 has no ::1.
      if (address === "::1" && addresses.length > 0 && (code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT")) continue;
      for (const open of servers) open.close();
      throw bindFailure(address, port, code, error);
    }
  }
  return {
    port,
    addresses,
    async close() {
      const closed = servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
      for (const socket of connections) socket.destroy();
      await Promise.race([Promise.all(closed), Bun.sleep(CLOSE_WAIT_MS)]);
    },
  };
}

/** A program of this machine has its handshake done in milliseconds; who is silent takes a descriptor from others. Milliseconds. */
const HANDSHAKE_TIMEOUT = 10_000;

/** Descriptors that connections leave for the store, the logs, what is read of processes, and supervisors that are started. */
const RESERVED_DESCRIPTORS = 512;

/** Whoever reaches the port can open connections: further ones are closed before they take what the gateway itself needs. */
function mostConnections(): number {
  const limit = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  return limit === undefined ? Number.POSITIVE_INFINITY : Math.max(Number(limit) - RESERVED_DESCRIPTORS, Math.floor(Number(limit) / 2));
}

/** Connections are cut, not drained; this bounds the wait for the last callback. */
const CLOSE_WAIT_MS = 1000;

type Handler = ReturnType<typeof connectNodeAdapter>;

/**
 * The handler, and an answer where it throws instead: it makes a URL of what the client says it asked for, and that may be anything, or
 * nothing. Nobody else would catch it, and one bad line of a stranger would end the gateway.
 */
function answering(handler: Handler): Handler {
  return (request, response) => {
    try {
      handler(request, response);
    } catch {
      const answer = response as ServerResponse;
      if (answer.headersSent) answer.destroy();
      else answer.writeHead(BAD_REQUEST).end();
    }
  };
}

const BAD_REQUEST = 400;

function secureServer(handler: Handler, pki: Pki, handshakeTimeout: number): () => Server {
  return () =>
    createSecureServer(
      {
        allowHTTP1: true,
        cert: pki.serverCertificate,
        key: pki.serverKey,
        ca: pki.caCertificate,
        // Requested, not required: supervisors come with a token alone. Whether a certificate counts is decided per call.
        requestCert: true,
        rejectUnauthorized: false,
        minVersion: "TLSv1.2",
        handshakeTimeout,
        settings: { maxConcurrentStreams: MAX_CONCURRENT_STREAMS },
      },
      handler as never,
    ) as unknown as Server;
}

/** HTTP/2 with prior knowledge and HTTP/1.1 on one plaintext port: the first bytes tell. */
function plainServer(handler: Handler, timeout: number): Server {
  const http1 = createPlainHttp(handler as never);
  const http2 = createPlainHttp2({ settings: { maxConcurrentStreams: MAX_CONCURRENT_STREAMS } }, handler as never);
  return createServer((socket) => {
    const silent = setTimeout(() => socket.destroy(), timeout);
    socket.once("close", () => clearTimeout(silent));
    socket.once("data", (first: Buffer) => {
      clearTimeout(silent);
      socket.pause();
      socket.unshift(first);
      (first.toString("latin1", 0, 3) === "PRI" ? http2 : http1).emit("connection", socket);
      socket.resume();
    });
  });
}

function bind(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, ipv6Only: host.includes(":") }, () => {
      server.off("error", reject);
      server.on("error", () => {});
      resolve((server.address() as AddressInfo).port);
    });
  });
}

function bindFailure(address: string, port: number, code: string | undefined, cause: unknown): OpenShellError {
  const where = `${address.includes(":") ? `[${address}]` : address}:${port}`;
  if (code === "EADDRINUSE")
    return new OpenShellError("failed_precondition", `${where} is in use`, { next: "give another --port (0 takes any free one)", cause });
  if (code === "EACCES")
    return new OpenShellError("failed_precondition", `no permission to listen on ${where}`, { next: "give a port above 1023", cause });
  return new OpenShellError("failed_precondition", `cannot listen on ${where} (${code ?? "unknown error"})`, {
    next: "check --bind-address",
    cause,
  });
}

function isLoopback(address: string): boolean {
  return address === "localhost" || address === "::1" || (isIP(address) === 4 && address.startsWith("127."));
}
