import type { Socket } from "bun";
import { close, setNonBlocking, socketPair } from "../../../../linux/descriptors.ts";
import { Tunnel } from "../relay.ts";

export interface TlsBridgeTarget {
  readonly host: string;
  readonly port: number;
  /** PEM. */
  readonly authorities: readonly string[];
}

/** Who is told what became of a bridge; one of the two, once. */
export interface TlsBridgeEvents {
  /** The server is verified. The descriptor is the receiver's from now on. */
  opened(fd: number, address: string | undefined): void;
  failed(error: Error): void;
}

const noop = () => {};

/**
 * A verified TLS connection as a plain socket: one end of a pair, whose other end is copied from and to the TLS. So whatever is done with a
 * socket, TLS inside it too, can be done with it. Gives what ends an attempt that nobody waits for any more.
 */
export function openTlsBridge({ host, port, authorities }: TlsBridgeTarget, events: TlsBridgeEvents): () => void {
  let secure: Socket | undefined;
  let tunnel: Tunnel | undefined;
  let over = false;
  const fail = (error: Error) => {
    if (over) return;
    over = true;
    secure?.terminate();
    events.failed(error);
  };
  const verified = (socket: Socket) => {
    const [ours, theirs] = plainPair();
    over = true;
    // `fd` adopts a connected socket; it works and is not in the types.
    const adopted = { fd: ours } as unknown as { hostname: string; port: number };
    Bun.connect({
      ...adopted,
      allowHalfOpen: true,
      socket: {
        open: (plain) => {
          tunnel = new Tunnel(plain, socket, { tunnelEnded: noop });
        },
        data: (_, bytes) => tunnel?.toUpstream(bytes),
        drain: () => tunnel?.clientDrained(),
        end: () => tunnel?.clientFinished(),
        close: (_, error) => tunnel?.clientClosed(error),
        error: () => tunnel?.abort(),
      },
    }).catch(() => socket.terminate());
    events.opened(theirs, socket.remoteAddress);
  };
  Bun.connect({
    hostname: host,
    port,
    allowHalfOpen: true,
    tls: {
      ca: [...authorities],
      rejectUnauthorized: true,
      ...(/^[\d.]+$|:/.test(host) ? {} : { serverName: host }),
    },
    socket: {
      open: (socket) => {
        secure = socket;
        if (over) socket.terminate();
      },
      handshake: (socket, success, error) => {
        if (over) socket.terminate();
        else if (success && error === null) verified(socket);
        else fail(new Error(`its certificate is not accepted: ${error?.message ?? "not verified"}`));
      },
      data: (_, bytes) => tunnel?.toClient(bytes),
      drain: () => tunnel?.upstreamDrained(),
      end: () => (tunnel === undefined ? fail(new Error("it closed the connection during the TLS handshake")) : tunnel.upstreamFinished()),
      close: (_, error) => {
        if (tunnel !== undefined) tunnel.upstreamClosed(error ?? undefined);
        else fail(error ?? new Error("it closed the connection during the TLS handshake"));
      },
      error: (_, error) => (tunnel === undefined ? fail(error) : tunnel.abort()),
      connectError: (_, error) => fail(error),
    },
  }).catch(noop);
  return () => {
    if (over) return;
    over = true;
    secure?.terminate();
  };
}

function plainPair(): [number, number] {
  const pair = socketPair();
  try {
    for (const fd of pair) setNonBlocking(fd);
    return pair;
  } catch (error) {
    for (const fd of pair) close(fd);
    throw error;
  }
}
