import { descriptorOf } from "../descriptor.ts";
import { type ByteSocket, Flow, type TunnelEnds } from "../relay.ts";
import type { TlsServerSide } from "../tls/server-side.ts";
import type { Upstream } from "./upstream.ts";
import { Valve } from "./valve.ts";

/** The client and the server of an inspected connection, and what is on its way between them: each is read only as fast as the other takes. */
export class ConnectionEnds {
  readonly upstream: Upstream;
  readonly upstreamValve: Valve;
  readonly clientValve: Valve;
  /** Our end of the client's TLS; undefined: it speaks none, or not yet. */
  tls: TlsServerSide | undefined;
  readonly #accepted: ByteSocket;
  readonly #down = new Flow();
  #up = new Flow();

  constructor(accepted: ByteSocket, upstream: Upstream) {
    this.#accepted = accepted;
    this.upstream = upstream;
    this.upstreamValve = new Valve(() => upstream.socket);
    this.clientValve = new Valve(() => this.client);
  }

  get client(): ByteSocket {
    return this.tls ?? this.#accepted;
  }

  /** What has not been written yet, for whoever goes on with these ends. */
  get flows(): { readonly up: Flow; readonly down: Flow } {
    return { up: this.#up, down: this.#down };
  }

  /** Where no TLS is ended, the kernel may pass bytes on by itself. */
  get kernelEnds(): TunnelEnds | undefined {
    if (this.tls !== undefined) return undefined;
    return { client: () => descriptorOf(this.#accepted), upstream: () => this.upstream.descriptor };
  }

  toClient(bytes: Buffer, owned = false): void {
    this.#down.pass(bytes, this.upstreamValve, this.client, owned);
  }

  toUpstream(bytes: Buffer, owned = false): void {
    const { socket } = this.upstream;
    if (socket !== undefined) this.#up.pass(bytes, this.clientValve, socket, owned);
  }

  clientDrained(): void {
    this.#down.drained(this.upstreamValve, this.client);
  }

  upstreamDrained(): void {
    const { socket } = this.upstream;
    if (socket !== undefined) this.#up.drained(this.clientValve, socket);
  }

  /** What a server that is gone did not take is gone with it. */
  renewUp(): void {
    this.#up.drop();
    this.#up = new Flow();
    this.clientValve.resume();
  }

  /** The client is gone, and what waited with it. */
  drop(): void {
    this.#up.drop();
    this.#down.drop();
  }

  /** Our FIN behind what was said last; the server is not needed any more. */
  finishClient(): void {
    this.upstream.drop();
    this.client.resume();
    this.#down.finish(this.client);
  }

  abort(): void {
    this.upstream.abort();
    this.client.terminate();
    this.drop();
  }
}
