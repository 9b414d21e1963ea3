import type { Socket, SocketHandler } from "bun";
import type { AddressClass } from "../../../address/address-class.ts";
import { AddressSet } from "../../../address/address-set.ts";
import { upstreamAuthorities } from "../../../authorities.ts";
import type { RequestEngine } from "../../../engine/decision.ts";
import type { EventSink } from "../../../events/event.ts";
import { duplicate } from "../../../linux/descriptors.ts";
import { isConnected, ownEndOf, peerOf } from "../../../linux/socket-ends.ts";
import type { Identification, SocketAddress } from "../box/contract.ts";
import { DNS_PORT } from "../box/net-addresses.ts";
import type { ControlPlane } from "../control-plane/entrance.ts";
import { Credentials } from "../credentials/model.ts";
import type { AnsweredSink } from "./answered.ts";
import { BinaryTrust } from "./binary-trust.ts";
import { Connection, type ConnectionHost, type ConnectionState } from "./connection.ts";
import { descriptorOf } from "./descriptor.ts";
import { hostAddresses, type OwnAddresses } from "./destination/own-addresses.ts";
import { limitedProbe, type Probe } from "./destination/probe.ts";
import { Resolver } from "./destination/resolver.ts";
import type { StreamResponder } from "./dns/stream.ts";
import type { SyntheticNames } from "./dns/synthetic-names.ts";
import type { EgressContext } from "./egress-context.ts";
import { type Identify, identifySafely } from "./identity.ts";
import { capturedIntent } from "./intent.ts";
import { DEFAULT_LIMITS, type EgressLimits } from "./limits.ts";
import type { LocalService } from "./local-service.ts";
import { NO_ONE_TIME_RULES, type OneTimeUse } from "./one-time-rules.ts";
import { Places } from "./places.ts";
import { wasRead } from "./short-reads.ts";
import { SandboxCa } from "./tls/sandbox-ca.ts";
import type { UpstreamProxy } from "./upstream-proxy/upstream-proxy.ts";
import { WaitingLine } from "./waiting-line.ts";

export interface EgressOptions {
  /** A listening socket inside the trap; it stays its owner's. */
  readonly listenerFd: number;
  /** Listening sockets of connections past the proxy, whose own address is where they want to go. */
  readonly capturedFds?: readonly number[];
  /** Told of each captured connection as it is accepted. */
  readonly onCaptured?: (peer: SocketAddress, local: SocketAddress) => void;
  /** What the captured connections' addresses stand for, and who answers those that ask for names. */
  readonly names?: { readonly synthetic: SyntheticNames; readonly streams: StreamResponder };
  readonly identify: Identify;
  readonly engine: RequestEngine;
  readonly emit: EventSink;
  /** Told of servers' answers inside inspected connections. */
  readonly answered?: AnsweredSink | undefined;
  /** Private networks that allowed names may lead to. */
  readonly trustedCidrs: readonly string[];
  /** Suffixes that the probe for private addresses may resolve. */
  readonly internalDomains?: readonly string[];
  /** Answers before the system resolver; default `/etc/hosts`. */
  readonly hostsFile?: string;
  /** Where the sandbox's own gateway is offered; never a matter of policy. */
  readonly controlPlane?: ControlPlane;
  /** Answers for `inference.local`. */
  readonly inference?: LocalService | undefined;
  readonly limits?: Partial<EgressLimits>;
  /** Default: every address of our network namespace, read again each second. */
  readonly ownAddresses?: OwnAddresses;
  readonly resolver?: Resolver;
  /** What connections leave by; default: none, servers are dialled. */
  readonly upstreamProxy?: UpstreamProxy | undefined;
  readonly trust?: BinaryTrust;
  /** Ends the TLS of clients; default: one of its own. */
  readonly ca?: SandboxCa;
  /** What servers are verified against, PEM; default: the system's. */
  readonly authorities?: readonly string[];
  /** Rules that hold for one request; none when absent. */
  readonly oneTime?: OneTimeUse;
  /** What placeholders in requests stand for; none when absent. */
  readonly credentials?: Credentials;
  /** Replaced in tests, which have nothing but loopback. */
  readonly classify?: (address: string) => AddressClass;
}

/** The guarded way out of one sandbox. */
export interface Egress extends Disposable {
  /** Decides every open connection again and ends those that the policy in force no longer permits; gives their number. */
  closeDisallowed(): number;
  /** Takes connections from further listening sockets, as from `capturedFds`. */
  capture(fds: readonly number[]): void;
  /** Finds the addresses of a denied name only when the question cannot leave the machine's owner. */
  readonly probe: Probe;
  /** Connections that are not closed, tunnels included. */
  readonly connections: number;
}

/** Serves the explicit proxy on a listening socket: reads requests, decides them, dials, relays, and emits one event per decision. */
export function serveEgress(options: EgressOptions): Egress {
  const resolver = options.resolver ?? new Resolver({ hostsFile: options.hostsFile ?? "/etc/hosts" });
  const trust = options.trust ?? new BinaryTrust();
  const server = new EgressServer(options, {
    engine: options.engine,
    emit: options.emit,
    answered: options.answered,
    trust,
    resolver,
    destinations: {
      trusted: new AddressSet(options.trustedCidrs),
      ownAddresses: options.ownAddresses ?? hostAddresses(),
      ...(options.classify === undefined ? {} : { classify: options.classify }),
    },
    names: options.names?.synthetic,
    upstreamProxy: options.upstreamProxy,
    controlPlane: options.controlPlane,
    inference: options.inference,
    limits: { ...DEFAULT_LIMITS, ...options.limits },
    ca: options.ca ?? new SandboxCa(),
    authorities: options.authorities ?? upstreamAuthorities(undefined),
    oneTime: options.oneTime ?? NO_ONE_TIME_RULES,
    credentials: options.credentials ?? new Credentials(),
  });
  return {
    closeDisallowed: () => server.closeDisallowed(),
    capture: (fds) => server.capture(fds),
    probe: limitedProbe(resolver, options.internalDomains ?? []),
    get connections() {
      return server.connections;
    },
    [Symbol.dispose]: () => {
      server[Symbol.dispose]();
      trust[Symbol.dispose]();
    },
  };
}

const noop = () => {};

/** Where the events of an accepted socket go: a connection, or one that asks for names. */
type Accepted = Pick<Connection, "clientData" | "clientDrained" | "clientEnded" | "clientClosed" | "abort">;

class EgressServer implements Disposable, ConnectionHost {
  readonly #context: EgressContext;
  readonly #identify: Identify;
  readonly #live = new Set<Connection>();
  readonly #waiting: WaitingLine<Connection>;
  /** Of connections whose request is not decided yet. */
  readonly #undecided: Places;
  /** Of all that are looked at, or were. */
  readonly #admitted: Places;
  /** Those that have one of these. */
  readonly #placed = new Set<Connection>();
  readonly #listeners: { stop(closeActiveConnections?: boolean): void }[];
  readonly #onCaptured: (peer: SocketAddress, local: SocketAddress) => void;
  readonly #names: EgressOptions["names"];
  /** Runs while there are connections. */
  #sweep: ReturnType<typeof setInterval> | undefined;
  readonly #upstreamHandlers: SocketHandler<Connection>;

  constructor(options: EgressOptions, context: EgressContext) {
    this.#context = context;
    this.#waiting = new WaitingLine(context.limits.waiting);
    this.#undecided = new Places(context.limits.undecided);
    this.#admitted = new Places(context.limits.connections);
    this.#identify = options.identify;
    this.#onCaptured = options.onCaptured ?? noop;
    this.#names = options.names;
    this.#upstreamHandlers = {
      open: (socket) => socket.data.upstreamOpened(socket),
      data: (socket, bytes) => {
        wasRead(socket);
        socket.data.upstreamData(socket, bytes);
      },
      drain: (socket) => socket.data.upstreamDrained(socket),
      end: (socket) => socket.data.upstreamEnded(socket),
      close: (socket, error) => socket.data.upstreamClosed(socket, error),
      error: (socket) => socket.data?.abort(),
      connectError: (socket, error) => socket.data.upstreamFailed(error.message),
    };
    this.#listeners = [this.#listen(options.listenerFd, false), ...(options.capturedFds ?? []).map((fd) => this.#listen(fd, true))];
  }

  #startSweep(): ReturnType<typeof setInterval> {
    const timer = setInterval(() => this.#expire(), this.#context.limits.sweepMs);
    timer.unref();
    return timer;
  }

  #listen(fd: number, captured: boolean): { stop(closeActiveConnections?: boolean): void } {
    // `fd` adopts a listening socket and closes it in the end; it works and is not in the types.
    const adopted = { fd: duplicate(fd) } as unknown as { hostname: string; port: number };
    return Bun.listen<Accepted>({
      ...adopted,
      allowHalfOpen: true,
      socket: {
        // A socket that was reset before it was accepted has no connection, and its events come all the same.
        open: (socket) => this.#accepted(socket, captured),
        data: (socket, bytes) => {
          wasRead(socket);
          socket.data?.clientData(bytes);
        },
        drain: (socket) => socket.data?.clientDrained(),
        end: (socket) => socket.data?.clientEnded(),
        close: (socket, error) => socket.data?.clientClosed(error),
        error: (socket) => socket.data?.abort(),
      },
    });
  }

  capture(fds: readonly number[]): void {
    for (const fd of fds) this.#listeners.push(this.#listen(fd, true));
  }

  get connections(): number {
    return this.#live.size;
  }

  closeDisallowed(): number {
    let closed = 0;
    for (const connection of [...this.#live]) if (isOver(connection)) closed++;
    return closed;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#sweep);
    for (const listener of this.#listeners) listener.stop(false);
    this.#waiting.clear();
    for (const connection of [...this.#live]) connection.abort();
  }

  /** The program is identified at once: its socket is established now, whatever it does next. */
  #accepted(socket: Socket<Accepted>, captured: boolean): void {
    const ends = endsOf(descriptorOf(socket));
    if (ends === undefined) {
      socket.terminate();
      return;
    }
    if (captured && ends.local.port === DNS_PORT && this.#names !== undefined) {
      this.#onCaptured(ends.peer, ends.local);
      // A question is no connection to anywhere: its events go to the resolver, by the same names.
      const stream = this.#names.streams.accept(socket);
      if (stream !== undefined) socket.data = stream;
      return;
    }
    const known = identifySafely(this.#identify, ends.peer, ends.local);
    // Reset meanwhile: another program may have the same port already, and the answer may be about its connection.
    const who = isConnected(descriptorOf(socket)) ? known : RESET;
    if (captured) this.#onCaptured(ends.peer, ends.local);
    const connection = new Connection(
      socket as Socket<Connection>,
      who,
      this.#context,
      this,
      captured ? capturedIntent(ends.local, this.#names?.synthetic) : undefined,
    );
    socket.data = connection;
    this.#live.add(connection);
    this.#sweep ??= this.#startSweep();
    if (this.#hasRoom(connection)) {
      connection.admit();
    } else if (this.#waiting.add(connection)) {
      socket.pause();
    } else {
      connection.refuseUnread(
        503,
        "too_many_connections",
        `${this.#live.size - 1} connections are open or waiting, and this program gets no more places`,
      );
      // Answers take descriptors as well while they are read.
      if (this.#live.size - this.#placed.size - this.#waiting.length > this.#context.limits.waiting) connection.abort();
    }
  }

  #hasRoom({ holder }: Connection): boolean {
    return this.#undecided.hasRoom(holder) && this.#admitted.hasRoom(holder);
  }

  stateChanged(connection: Connection, from: ConnectionState, to: ConnectionState): void {
    count(this.#undecided, connection, isUndecided(from), isUndecided(to));
    // What is refused at once had no place, and must not keep out those that have.
    const had = this.#placed.has(connection);
    const has = to !== "closed" && (had || to !== "refusing");
    count(this.#admitted, connection, had, has);
    if (has) this.#placed.add(connection);
    else this.#placed.delete(connection);
    if (to === "closed") {
      this.#live.delete(connection);
      if (from === "waiting") this.#waiting.remove(connection);
    }
    if (this.#waiting.length > 0 && !isUndecided(to)) this.#admitWaiting();
  }

  #admitWaiting(): void {
    const may = (connection: Connection) => this.#hasRoom(connection);
    for (let next = this.#waiting.next(may, this.#undecided); next !== undefined; next = this.#waiting.next(may, this.#undecided)) {
      if (next.state !== "waiting") continue;
      next.client.resume();
      next.admit();
    }
  }

  dial(connection: Connection, address: string, port: number, via: UpstreamProxy | undefined): void {
    if (via !== undefined) {
      via.dial(address, port, { socket: this.#upstreamHandlers, data: connection });
      return;
    }
    // `connectError` reports failures; the promise rejects as well and has nothing to add.
    Bun.connect<Connection>({ hostname: address, port, allowHalfOpen: true, socket: this.#upstreamHandlers, data: connection }).catch(noop);
  }

  #expire(): void {
    const now = performance.now();
    for (const connection of this.#live) if (connection.deadline !== 0 && connection.deadline <= now) connection.expire();
    if (this.#live.size > 0) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }
}

const RESET: Identification = { known: false, code: "not_established", reason: "the connection was reset while its program was looked up" };

/** Ends a connection that may not go on, also one that cannot be looked at: no connection may keep the others from being ended. */
function isOver(connection: Connection): boolean {
  try {
    return connection.closeIfDisallowed();
  } catch {
    connection.abort();
    return true;
  }
}

/** Both ends of an accepted socket; undefined when the client has reset it already. */
function endsOf(fd: number): { readonly peer: SocketAddress; readonly local: SocketAddress } | undefined {
  const peer = peerOf(fd);
  const local = peer && ownEndOf(fd);
  return peer && local && { peer, local };
}

function isUndecided(state: ConnectionState): boolean {
  return state === "head" || state === "deciding";
}

function count(places: Places, { holder }: Connection, before: boolean, after: boolean): void {
  if (before === after) return;
  if (after) places.take(holder);
  else places.release(holder);
}
