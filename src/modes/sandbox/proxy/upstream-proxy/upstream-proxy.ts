import type { Socket, SocketHandler } from "bun";
import type { UpstreamProxyPlan } from "../../../../upstream-proxy/settings.ts";
import type { Authority } from "../http1/authority.ts";
import { hostPort } from "../intent.ts";
import { readConnectReply } from "./connect-reply.ts";
import { openTlsBridge, type TlsBridgeTarget } from "./tls-bridge.ts";

/** Time for the proxy to be reached and to answer; it has to reach the server meanwhile. */
const ESTABLISH_MS = 10_000;
const noop = () => {};

/** Whom the events of a dialled socket go to; as `Bun.connect` takes it. */
export interface DialOptions<T> {
  readonly socket: SocketHandler<T>;
  readonly data: T;
}

/**
 * The proxy that everything leaves by which is not excepted: a tunnel by CONNECT for every connection, plain HTTP too, so that one way is
 * decided, relayed and told like all others. What it refuses or does not answer fails; nothing is ever dialled past it instead.
 */
export class UpstreamProxy {
  readonly #plan: UpstreamProxyPlan;
  /** What its own certificate is verified against, PEM. */
  readonly #authorities: readonly string[];
  /** Addresses at which it was reached. */
  readonly #addresses = new Set<string>();

  constructor(plan: UpstreamProxyPlan, authorities: readonly string[]) {
    this.#plan = plan;
    this.#authorities = authorities;
  }

  /** For people. */
  get name(): string {
    return `${this.#plan.scheme}://${hostPort(this.#plan)}`;
  }

  /** Whether a destination is dialled through it. */
  takes({ host, port }: Authority): boolean {
    return !this.#plan.direct.has(host, port);
  }

  /** Whether a destination, by name or address, is the proxy: a tunnel to it would be a way round every policy. */
  is(host: string, port: number): boolean {
    return port === this.#plan.port && (host === this.#plan.host || this.#addresses.has(host));
  }

  /** A connection to a host, given to its handlers once the tunnel stands; every failure before is one `connectError`. */
  dial<T>(host: string, port: number, options: DialOptions<T>): void {
    const attempt = new Attempt(this, { host, port }, this.#plan.authorization, options);
    if (this.#plan.scheme === "https") {
      attempt.bridge({ ...this.#plan, authorities: this.#authorities });
      return;
    }
    Bun.connect<T>({
      hostname: this.#plan.host,
      port: this.#plan.port,
      allowHalfOpen: true,
      socket: attempt.handlers,
      data: options.data,
    }).catch(noop);
  }

  reachedAt(address: string | undefined): void {
    if (address !== undefined && this.#addresses.size < MAX_ADDRESSES) this.#addresses.add(address);
  }
}

/** A proxy behind a name that changes its addresses all the time is still known by its name. */
const MAX_ADDRESSES = 256;

/** One tunnel from the first packet until its socket is its owner's. */
class Attempt<T> {
  readonly handlers: SocketHandler<T>;
  readonly #proxy: UpstreamProxy;
  readonly #target: Authority;
  readonly #authorization: string | undefined;
  readonly #options: DialOptions<T>;
  readonly #timer: ReturnType<typeof setTimeout>;
  #socket: Socket<T> | undefined;
  #abandon: () => void = noop;
  #received = Buffer.alloc(0);
  #state: "opening" | "open" | "failed" = "opening";

  constructor(proxy: UpstreamProxy, target: Authority, authorization: string | undefined, options: DialOptions<T>) {
    this.#proxy = proxy;
    this.#target = target;
    this.#authorization = authorization;
    this.#options = options;
    this.#timer = setTimeout(() => this.fail(new Error(`no answer within ${ESTABLISH_MS} ms`)), ESTABLISH_MS);
    const owner = options.socket;
    this.handlers = {
      open: (socket) => this.#opened(socket),
      data: (socket, bytes) => (this.#state === "open" ? owner.data?.(socket, bytes) : this.#answered(socket, bytes)),
      drain: (socket) => void (this.#state === "open" && owner.drain?.(socket)),
      end: (socket) => (this.#state === "open" ? owner.end?.(socket) : this.fail(new Error("it closed the connection without an answer"))),
      close: (socket, error) =>
        this.#state === "open" ? owner.close?.(socket, error) : this.fail(error ?? new Error("it closed the connection without an answer")),
      error: (socket, error) => (this.#state === "open" ? owner.error?.(socket, error) : this.fail(error)),
      connectError: (_, error) => this.fail(error),
    };
  }

  /** Speaks to a proxy inside TLS. */
  bridge(target: TlsBridgeTarget): void {
    this.#abandon = openTlsBridge(target, {
      opened: (fd, address) => {
        this.#proxy.reachedAt(address);
        // `fd` adopts a connected socket; it works and is not in the types.
        const adopted = { fd, allowHalfOpen: true, socket: this.handlers, data: this.#options.data };
        Bun.connect<T>(adopted as unknown as Bun.TCPSocketConnectOptions<T>).catch((error) => this.fail(error));
      },
      failed: (error) => this.fail(error),
    });
  }

  fail(error: Error): void {
    if (this.#state !== "opening") return;
    this.#state = "failed";
    clearTimeout(this.#timer);
    const socket = this.#socket;
    const problem = new Error(`the upstream proxy ${this.#proxy.name} did not connect: ${error.message}`);
    // The owner knows a socket by what it carries, and this one it never gets.
    this.#options.socket.connectError?.((socket ?? { data: this.#options.data }) as Socket<T>, problem);
    socket?.terminate();
    this.#abandon();
  }

  #opened(socket: Socket<T>): void {
    if (this.#state !== "opening") {
      socket.terminate();
      return;
    }
    this.#socket = socket;
    this.#proxy.reachedAt(socket.remoteAddress);
    const authority = hostPort(this.#target);
    const authorization = this.#authorization === undefined ? "" : `Proxy-Authorization: ${this.#authorization}\r\n`;
    socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${authorization}\r\n`);
  }

  #answered(socket: Socket<T>, bytes: Buffer): void {
    if (this.#state !== "opening") return;
    this.#received = Buffer.concat([this.#received, bytes]);
    const reply = readConnectReply(this.#received);
    if (reply.kind === "incomplete") return;
    if (reply.kind === "refused") {
      this.fail(new Error(reply.problem));
      return;
    }
    this.#state = "open";
    clearTimeout(this.#timer);
    this.#options.socket.open?.(socket);
    if (reply.rest.length > 0) this.#options.socket.data?.(socket, reply.rest);
  }
}
