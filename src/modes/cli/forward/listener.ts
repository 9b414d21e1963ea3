import { createServer, type Server, type Socket } from "node:net";
import { OpenShellError } from "../../../error.ts";
import { fromConnectError } from "../../../rpc/errors.ts";
import type { Gateway } from "../connection/gateway.ts";
import { type EntrySession, openEntry } from "../enter/ssh-session.ts";
import { openTunnel } from "../enter/tunnel.ts";
import type { PortPair } from "./ports.ts";

/** Whom connections are for, and who hears what went wrong. */
export interface ForwardOptions {
  readonly sandbox: string;
  readonly ports: PortPair;
  /** Name of the host inside; only its loopback is reached. */
  readonly host: string;
  readonly failed: (reason: string) => void;
}

export interface Forward extends AsyncDisposable {
  /** Where it listens. */
  readonly port: number;
}

/** Listens on a port of this machine and carries each connection to the sandbox over the gateway, each with its own end and back-pressure. */
export async function openForward(gateway: Gateway, { sandbox, ports, host, failed }: ForwardOptions): Promise<Forward> {
  // Asked for at once: says now that the sandbox is not there.
  let entry: Promise<EntrySession> = openEntry(gateway, sandbox);
  await entry;
  const stop = new AbortController();
  const carry = async (socket: Socket): Promise<void> => {
    const abort = new AbortController();
    const signal = AbortSignal.any([abort.signal, stop.signal]);
    socket.on("error", () => abort.abort()).on("close", () => abort.abort());
    const target = { case: "tcp", value: { host, port: ports.remote } } as const;
    const used = entry;
    try {
      const { token } = await used;
      for await (const piece of openTunnel(gateway, { sandbox, token, target }, socket.iterator({ destroyOnReturn: false }), signal)) {
        if (piece.length === 0) socket.end();
        else if (!socket.write(piece)) await new Promise<void>((resolve) => socket.once("drain", resolve).once("close", resolve));
      }
    } catch (reason) {
      if (signal.aborted) return;
      const error = reason instanceof OpenShellError ? reason : fromConnectError(reason);
      // The gateway was started again, or the token is old: the next connection has a new one.
      if (error.code === "unauthenticated" && entry === used) {
        entry = openEntry(gateway, sandbox);
        entry.catch(() => undefined);
      }
      failed(error.message);
      socket.resetAndDestroy();
    } finally {
      if (!socket.destroyed) socket.end();
    }
  };
  const server = createServer({ allowHalfOpen: true }, (socket) => void carry(socket));
  const port = await listen(server, ports);
  return {
    port,
    async [Symbol.asyncDispose]() {
      server.close();
      stop.abort();
      await (await entry.catch(() => undefined))?.[Symbol.asyncDispose]();
    },
  };
}

function listen(server: Server, { bind, local }: PortPair): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const why = cause.code === "EADDRINUSE" ? "is in use" : `cannot be used (${cause.code ?? "unknown error"})`;
      reject(new OpenShellError("failed_precondition", `port ${local} of ${bind} ${why}`, { cause, next: "choose another: PORT:LOCAL" }));
    });
    server.listen(local, bind, () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : local);
    });
  });
}
