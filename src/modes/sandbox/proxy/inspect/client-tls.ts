import { type ServerSideEvents, TlsServerSide } from "../tls/server-side.ts";
import type { ConnectionEnds } from "./connection-ends.ts";
import type { InspectionSetup } from "./inspection.ts";
import { HTTP1, HTTP2 } from "./upstream.ts";

/** Our end of a client's TLS, where what it will speak inside may depend on what the server does. */
export class ClientTls {
  readonly #setup: Pick<InspectionSetup, "authority" | "ca" | "client">;
  readonly #ends: ConnectionEnds;
  /** Protocols that the client offers. */
  #offered: readonly string[] = [];

  constructor(setup: Pick<InspectionSetup, "authority" | "ca" | "client">, ends: ConnectionEnds) {
    this.#setup = setup;
    this.#ends = ends;
  }

  /** What the client is to be answered with; undefined: that is known once the server has agreed to something. */
  negotiate(offered: readonly string[]): readonly string[] | undefined {
    const { upstream } = this.#ends;
    this.#offered = offered;
    // The server hears nothing before a request is allowed. Should it speak less than the client, requests are translated.
    if (upstream.socket === undefined) return [HTTP2, HTTP1];
    if (offered.includes(HTTP2)) {
      // What the server agrees to is what the client gets.
      upstream.secure([HTTP2, HTTP1]);
      return undefined;
    }
    upstream.secure();
    return [HTTP1];
  }

  /**
   * `protocols`: what is spoken here, the favourite first. A client that offers none of them is answered without one, not turned away:
   * `curl -0` offers http/1.0 alone. `early`: what the client has said so far.
   */
  answer(protocols: readonly string[], early: Buffer | undefined, events: ServerSideEvents): void {
    const { authority, ca, client } = this.#setup;
    this.#ends.clientValve.release();
    const common = protocols.filter((protocol) => this.#offered.includes(protocol));
    const tls = new TlsServerSide(client, ca.context(authority.host), common.slice(0, 1), events);
    this.#ends.tls = tls;
    if (early !== undefined) tls.feed(early);
  }
}
