import { createSecureContext, type SecureContext } from "node:tls";
import type { Socket, SocketHandler } from "bun";
import { descriptorOf } from "../descriptor.ts";
import type { ByteSocket } from "../relay.ts";
import { wasRead } from "../short-reads.ts";
import type { UpstreamProxy } from "../upstream-proxy/upstream-proxy.ts";

/** What becomes of the connection to the server. */
export interface UpstreamEvents {
  /** Bytes can be written; over TLS, the server is verified. */
  upstreamReady(): void;
  upstreamFailed(problem: string): void;
  upstreamData(bytes: Buffer): void;
  upstreamDrained(): void;
  /** The server will send nothing more. */
  upstreamEnded(): void;
  upstreamClosed(error: Error | undefined): void;
}

export interface UpstreamTarget {
  /** What policy and resolver let through; nothing else is dialled, and none of them is resolved again. */
  readonly addresses: readonly string[];
  readonly port: number;
  /** The name that the server must prove; a name or an address. */
  readonly host: string;
  /** Why the policy of this moment does not let an address be dialled; undefined: it does. Absent: nothing more is asked. */
  readonly refuses?: (address: string) => string | undefined;
  /** Certificates that are trusted, PEM. */
  readonly authorities: readonly string[];
  /** The addresses are dialled through it. */
  readonly via?: UpstreamProxy;
  /** Dialled instead of all these, in plain text: one of our own services takes the place of the server. */
  readonly unix?: string;
  readonly dialMs: number;
  readonly keepAliveMs: number;
}

/** As on the wire (RFC 7301 section 3.1); Bun takes no other form. */
function alpn(protocols: readonly string[]): string {
  return protocols.map((protocol) => String.fromCharCode(protocol.length) + protocol).join("");
}

/** Of one set of authorities: comparing 150 certificates for each connection takes 0.2 ms. */
const contexts = new WeakMap<readonly string[], SecureContext>();

function contextOf(authorities: readonly string[]): SecureContext {
  const known = contexts.get(authorities);
  if (known !== undefined) return known;
  // The native context in it is what sockets of Bun take.
  const context = (createSecureContext({ ca: [...authorities] }) as { readonly context: SecureContext }).context;
  contexts.set(authorities, context);
  return context;
}

/** Names of protocols inside TLS (RFC 7301). */
export const HTTP1 = "http/1.1";
export const HTTP2 = "h2";
const HTTP1_ALONE: readonly string[] = [HTTP1];

/** Time for a server to close its side of a connection that is no longer needed. */
const CLOSING_MS = 2000;

const noop = () => {};

/** TLS is a socket of its own above the raw one; each may outlive the other. */
function terminate(socket: ByteSocket | undefined, raw: ByteSocket | undefined): void {
  socket?.terminate();
  if (raw !== socket) raw?.terminate();
}

/** One connection to the server, or none: dialled when wanted, with or without TLS, replaced when it is gone. */
export class Upstream {
  /** Where bytes go; undefined unless ready. */
  socket: ByteSocket | undefined;
  /** What the server has agreed to speak inside TLS. */
  protocol: string | undefined;
  readonly #target: UpstreamTarget;
  /** Who is told. */
  events: UpstreamEvents;
  #raw: Socket<unknown> | undefined;
  #state: "none" | "dialling" | "plain" | "handshake" | "secure" = "none";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #address = 0;
  #protocols: readonly string[] = HTTP1_ALONE;

  constructor(target: UpstreamTarget, events: UpstreamEvents) {
    this.#target = target;
    this.events = events;
  }

  /** Whether something is under way that will end in `upstreamReady` or `upstreamFailed`. */
  get opening(): boolean {
    return this.#state === "dialling" || this.#state === "handshake";
  }

  /** Descriptor of a connection that carries bytes as they are; -1: there is none, or TLS. */
  get descriptor(): number {
    return this.#state === "plain" && this.#raw !== undefined ? descriptorOf(this.#raw) : -1;
  }

  /** Takes a connection that stands; its raw events come in by the methods named `raw…`. */
  adopt(socket: Socket<unknown>): void {
    this.#raw = socket;
    this.socket = socket;
    this.#state = "plain";
  }

  /** `protocols`: what is offered to the server inside TLS. */
  open(asked: "http" | "https", protocols: readonly string[] = HTTP1_ALONE): void {
    if (this.opening) return;
    const scheme = this.#target.unix === undefined ? asked : "http";
    this.#protocols = protocols;
    if (this.#state === "plain" && scheme === "https") this.secure(protocols);
    else if (this.socket !== undefined) this.events.upstreamReady();
    else this.#dial(scheme);
  }

  /** Speaks TLS from here on, on a connection that has carried nothing; `protocols`: what is offered to the server. */
  secure(protocols: readonly string[] = HTTP1_ALONE): void {
    const raw = this.#raw;
    if (raw === undefined || this.#state !== "plain") return;
    this.socket = undefined;
    this.#state = "handshake";
    this.#expect("no TLS handshake");
    const { host, authorities } = this.#target;
    // `secureContext` works and is not in the types.
    const verified = { secureContext: contextOf(authorities), serverName: host, rejectUnauthorized: true, ALPNProtocols: alpn(protocols) };
    const [, tls] = raw.upgradeTLS({
      tls: verified,
      data: undefined,
      socket: {
        open: noop,
        handshake: (socket, verified, error) => {
          this.protocol = typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : undefined;
          this.#verified(raw, socket, verified, error);
        },
        data: (socket, bytes) =>
          this.#ifCurrent(raw, () => {
            // The raw one has no descriptor any more.
            wasRead(socket);
            this.events.upstreamData(bytes);
          }),
        drain: () => this.#ifCurrent(raw, () => this.events.upstreamDrained()),
        end: () => this.#ifCurrent(raw, () => this.#ended()),
        close: (_, error) => this.#ifCurrent(raw, () => this.#closed(error ?? undefined)),
        error: (_, error) => this.#ifCurrent(raw, () => this.#fail(error.message)),
      },
    });
    tls.data = undefined;
  }

  /** Closes what there is; nothing of it is reported any more. */
  drop(): void {
    const { socket } = this;
    const raw = this.#raw;
    this.#forget();
    if (socket === undefined) {
      raw?.terminate();
      return;
    }
    socket.end();
    // A server that does not close its side would keep the connection, and us, for ever.
    setTimeout(() => terminate(socket, raw), CLOSING_MS).unref();
  }

  abort(): void {
    const { socket } = this;
    const raw = this.#raw;
    this.#forget();
    terminate(socket, raw);
  }

  rawData(bytes: Buffer): void {
    if (this.#state === "plain") this.events.upstreamData(bytes);
  }

  rawDrained(): void {
    if (this.#state === "plain") this.events.upstreamDrained();
  }

  rawEnded(): void {
    if (this.#state === "plain") this.#ended();
  }

  rawClosed(error: Error | undefined): void {
    if (this.#state === "plain") this.#closed(error);
    else if (this.#state === "handshake") this.#fail("the server closed the connection during the TLS handshake");
  }

  #dial(scheme: "http" | "https"): void {
    this.#state = "dialling";
    this.#expect("no answer");
    const { addresses, port, unix, via, keepAliveMs, refuses } = this.#target;
    const attempt = this.#address;
    const refused = unix === undefined ? refuses?.(addresses[attempt] ?? "") : undefined;
    if (refused !== undefined) {
      // Not from inside `open`: who asked for it is in the middle of something.
      queueMicrotask(() => {
        if (this.#state === "dialling" && this.#address === attempt) this.#nextAddress(scheme, refused);
      });
      return;
    }
    const current = () => this.#state === "dialling" && this.#address === attempt;
    const handlers: SocketHandler<undefined> = {
      open: (socket) => {
        if (!current()) {
          socket.terminate();
          return;
        }
        this.#settle();
        socket.setKeepAlive(true, keepAliveMs);
        this.adopt(socket);
        if (scheme === "https") this.secure(this.#protocols);
        else this.events.upstreamReady();
      },
      data: (socket, bytes) =>
        this.#ifCurrent(socket, () => {
          wasRead(socket);
          this.rawData(bytes);
        }),
      drain: (socket) => this.#ifCurrent(socket, () => this.rawDrained()),
      end: (socket) => this.#ifCurrent(socket, () => this.rawEnded()),
      close: (socket, error) => this.#ifCurrent(socket, () => this.rawClosed(error)),
      error: (socket, error) => this.#ifCurrent(socket, () => this.#fail(error.message)),
      connectError: (_, error) => {
        if (current()) this.#nextAddress(scheme, error.message);
      },
    };
    const options = { allowHalfOpen: true, socket: handlers, data: undefined };
    if (via !== undefined) {
      via.dial(addresses[attempt] ?? "", port, options);
      return;
    }
    const dialled =
      unix === undefined ? Bun.connect({ hostname: addresses[attempt] ?? "", port, ...options }) : Bun.connect({ unix, ...options });
    dialled.catch(noop);
  }

  #nextAddress(scheme: "http" | "https", problem: string): void {
    if (this.#address + 1 < this.#target.addresses.length) {
      this.#address++;
      this.#dial(scheme);
    } else {
      this.#fail(problem);
    }
  }

  #verified(raw: Socket<unknown>, socket: ByteSocket, verified: boolean, error: Error | null): void {
    if (raw !== this.#raw || this.#state !== "handshake") return;
    this.#settle();
    if (!verified || error !== null) {
      this.#fail(`the server's certificate is not accepted: ${error?.message ?? "not verified"}`);
      return;
    }
    this.#state = "secure";
    this.socket = socket;
    this.events.upstreamReady();
  }

  #ended(): void {
    this.events.upstreamEnded();
  }

  #closed(error: Error | undefined): void {
    if (this.#state === "handshake") {
      this.#fail("the server closed the connection during the TLS handshake");
      return;
    }
    this.#forget();
    this.events.upstreamClosed(error);
  }

  #fail(problem: string): void {
    const opening = this.opening;
    this.abort();
    this.#address = 0;
    if (opening) this.events.upstreamFailed(problem);
    else this.events.upstreamClosed(new Error(problem));
  }

  #expect(what: string): void {
    const { dialMs } = this.#target;
    this.#settle();
    this.#timer = setTimeout(() => this.#fail(`${what} within ${dialMs} ms`), dialMs);
  }

  #settle(): void {
    clearTimeout(this.#timer);
  }

  #forget(): void {
    this.#settle();
    this.#raw = undefined;
    this.socket = undefined;
    this.protocol = undefined;
    this.#state = "none";
  }

  /** Late events of a connection that was replaced do not count. */
  #ifCurrent(raw: Socket<unknown>, act: () => void): void {
    if (raw === this.#raw) act();
  }
}
