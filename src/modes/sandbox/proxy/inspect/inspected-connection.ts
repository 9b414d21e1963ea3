import type { Socket } from "bun";
import type { Inspection } from "../../../../engine/decision.ts";
import { OpenShellError } from "../../../../error.ts";
import { readOpening } from "../sql/opening.ts";
import { SqlConnection } from "../sql/sql-connection.ts";
import { type ClientHello, readClientHello, TLS_HANDSHAKE } from "../tls/client-hello.ts";
import type { TlsServerSide } from "../tls/server-side.ts";
import { ClientTls } from "./client-tls.ts";
import { ConnectionEnds } from "./connection-ends.ts";
import type { EarlyBytes } from "./conversation.ts";
import { SPOKEN, type Spoken, spokenIn } from "./first-bytes.ts";
import type { Secured } from "./gate.ts";
import { type Http1Owner, Http1Requests } from "./http1-requests.ts";
import { Http2Requests } from "./http2-requests.ts";
import type { InspectionHost, InspectionSetup } from "./inspection.ts";
import { Passage, type Upgrade } from "./passage.ts";
import { misdirection, unnamed } from "./server-name.ts";
import { HTTP1, HTTP2, Upstream, type UpstreamEvents } from "./upstream.ts";

/**
 * A connection whose client has been told to go ahead, from its first byte: TLS is ended here, requests are decided one by one, and what is
 * neither passes only where no rules are about requests.
 *
 * first: what does it speak? handshake: our end of TLS. requests: HTTP/1. multiplexed: HTTP/2. opening: bytes will pass, the server is not
 * there yet. raw: they do. over: nothing more passes.
 */
export class InspectedConnection implements Http1Owner, UpstreamEvents {
  readonly #setup: InspectionSetup;
  readonly #host: InspectionHost;
  readonly #ends: ConnectionEnds;
  readonly #clientTls: ClientTls;
  #plan: Inspection;
  #mode: "first" | "handshake" | "requests" | "multiplexed" | "opening" | "raw" | "over" = "first";
  #early: Buffer | undefined;
  #clientFinished = false;
  #secured: Secured = { scheme: "http", misdirected: undefined };
  #http1: Http1Requests | undefined;
  #http2: Http2Requests | undefined;
  /** Once it turns out to be one, the connection of a database client is all its own. */
  #sql: SqlConnection | undefined;
  /** What the server of an HTTP/2 connection has said before the client did. */
  #serverEarly: Buffer | undefined;
  #passage: Passage | undefined;

  constructor(setup: InspectionSetup, host: InspectionHost, upstream: Socket<unknown> | undefined) {
    this.#setup = setup;
    this.#host = host;
    this.#plan = setup.plan;
    this.#ends = new ConnectionEnds(setup.client, new Upstream(setup.target, this));
    this.#clientTls = new ClientTls(setup, this.#ends);
    if (upstream !== undefined) this.#upstream.adopt(upstream);
  }

  /** Where raw events of an upstream socket go that was dialled elsewhere. */
  get upstream(): Upstream {
    return this.#ends.upstream;
  }

  get #upstream(): Upstream {
    return this.#ends.upstream;
  }

  get #tls(): TlsServerSide | undefined {
    return this.#ends.tls;
  }

  /** What comes are requests, from these bytes on. */
  converse(bytes: Buffer): void {
    this.#early = bytes;
    this.#converse();
  }

  clientData(bytes: Buffer): void {
    if (this.#sql !== undefined) this.#sql.clientData(bytes);
    else if (this.#tls !== undefined) this.#tls.feed(bytes);
    else this.#received(bytes);
  }

  clientDrained(): void {
    if (this.#sql !== undefined) this.#sql.clientDrained();
    else if (this.#tls !== undefined) this.#tls.rawDrained();
    else this.#drained();
  }

  clientEnded(): void {
    if (this.#sql !== undefined) this.#sql.clientEnded();
    else if (this.#tls !== undefined) this.#tls.rawEnded();
    else this.#ended();
    if (this.#mode === "over") this.#setup.client.end();
  }

  clientClosed(error: Error | undefined): void {
    if (this.#sql !== undefined) {
      this.#sql.clientClosed(error);
      return;
    }
    this.#tls?.rawClosed();
    this.#http1?.conversation.clientClosed();
    if (this.#passage !== undefined) {
      this.#passage.clientClosed(error);
      return;
    }
    this.#mode = "over";
    this.#http2?.abandon();
    this.#upstream.abort();
    this.#ends.drop();
    this.#host.inspectionEnded();
  }

  /** The present state has lasted too long. */
  expire(): void {
    const { headMs } = this.#setup.limits;
    if (this.#sql !== undefined) this.#sql.expire();
    else if (this.#mode === "over") this.abort();
    else if (this.#mode === "multiplexed") this.#http2?.expire();
    else if (this.#mode === "first" && this.#early !== undefined && this.#early[0] !== TLS_HANDSHAKE) this.#opaque("unknown");
    else if (this.#mode === "requests") this.#http1?.expire();
    else this.#refuseBytes("tls_timeout", `no complete TLS handshake within ${headMs} ms`);
  }

  /** A new policy: true when what passes here without being looked at may no longer do so. */
  outlived(plan: Inspection): boolean {
    this.#plan = plan;
    if (this.#sql !== undefined) return this.#sql.outlived(plan);
    this.#http2?.policyChanged();
    if (this.#mode === "requests") this.#http1?.conversation.policyChanged();
    const upgradeAllowed = this.#passage?.stillAllowed();
    if (upgradeAllowed !== undefined) return !upgradeAllowed;
    if (this.#mode !== "raw" && this.#mode !== "opening") return false;
    return plan.opaque === "refuse" || (this.#tls === undefined && plan.tls !== "skip" && this.#setup.plan.tls === "skip");
  }

  // What TLS says.

  #secure({ serverName, protocols }: ClientHello): void {
    const { authority, limits } = this.#setup;
    this.#mode = "handshake";
    this.#secured = { scheme: "https", misdirected: misdirection(serverName, authority) };
    this.#host.lasts(limits.headMs);
    const answer = this.#clientTls.negotiate(protocols);
    if (answer !== undefined) this.#answerHello(answer);
  }

  #answerHello(protocols: readonly string[]): void {
    const early = this.#early;
    this.#early = undefined;
    this.#clientTls.answer(protocols, early, {
      secured: () => this.#handshakeDone(),
      data: (bytes) => this.#received(bytes),
      drained: () => this.#drained(),
      ended: () => this.#ended(),
      failed: (error) => this.#refuseBytes("tls_failed", `TLS with the client failed: ${error.message}`),
      faulted: (error) => this.#refuseBytes("internal", `the connection could not be handled: ${OpenShellError.from(error).message}`),
    });
  }

  #handshakeDone(): void {
    if (this.#mode === "handshake") this.#mode = "first";
    if (this.#mode === "first" || this.#mode === "raw") this.#host.lasts(0);
  }

  // What the client says.

  #received(bytes: Buffer): void {
    switch (this.#mode) {
      case "handshake":
        if (this.#tls === undefined) {
          // The server's handshake comes first; behind its ClientHello a client has nothing to say.
          this.#keep(bytes);
          this.#ends.clientValve.hold();
          break;
        }
        this.#handshakeDone();
        this.#recognise(bytes);
        break;
      case "first":
        this.#recognise(bytes);
        break;
      case "requests":
        this.#http1?.conversation.clientData(bytes);
        break;
      case "multiplexed":
        this.#http2?.clientData(bytes);
        break;
      case "opening":
        this.#keep(bytes);
        this.#ends.clientValve.hold();
        break;
      case "raw":
        this.#passage?.fromClient(bytes);
        break;
      case "over":
    }
  }

  #keep(bytes: Buffer): Buffer {
    this.#early = this.#early === undefined ? bytes : Buffer.concat([this.#early, bytes]);
    return this.#early;
  }

  #recognise(bytes: Buffer): void {
    const early = this.#keep(bytes);
    const spoken = spokenIn(early);
    // What is not complete has its time from its first byte on, however slowly the others come.
    if (early.length === bytes.length && (spoken === "unknown" || spoken === "tls")) this.#host.lasts(this.#setup.limits.headMs);
    if (spoken === "unknown") return;
    if (this.#speaksSql(spoken, early)) this.#watchStatements(early);
    else if (spoken === "tls" && this.#tls === undefined) this.#hello(early);
    else if (spoken === "http" && this.#upstream.protocol !== HTTP2) this.#converse();
    else if (spoken === "http2" && this.#tls !== undefined) this.#multiplex(this.#tls);
    else this.#opaque(spoken);
  }

  #hello(early: Buffer): void {
    const hello = readClientHello(early);
    if (hello.kind === "incomplete") return;
    this.#host.lasts(0);
    if (hello.kind === "invalid") {
      this.#refuseBytes("tls_malformed", hello.reason);
    } else if (this.#plan.tls !== "skip") {
      this.#secure(hello);
    } else {
      // What passes unread must at least be for the server that was decided about.
      const problem = misdirection(hello.serverName, this.#setup.authority) ?? unnamed(hello.serverName, this.#setup.authority);
      if (problem === undefined) this.#opaque("tls");
      else this.#refuseBytes("sni_mismatch", problem);
    }
  }

  #converse(): void {
    this.#mode = "requests";
    const { authority, target, limits } = this.#setup;
    const { scheme } = this.#secured;
    const gate = this.#host.gate(this.#secured);
    this.#http1 = new Http1Requests({ ends: this.#ends, gate, authority, scheme, limits, abandons: target.unix !== undefined }, this);
    const { conversation } = this.#http1;
    const early = this.#early;
    this.#early = undefined;
    if (early !== undefined) conversation.clientData(early);
    if (this.#clientFinished) conversation.clientFinished();
  }

  /** TLS that is not ended here hides statements: such bytes pass unread, as others do under audit. */
  #speaksSql(spoken: Spoken, early: Buffer): boolean {
    const { protocols, opaque, tls } = this.#plan;
    const watched = protocols.includes("sql") && opaque === "audit" && tls !== "skip" && this.#tls === undefined;
    return watched && spoken === "other" && readOpening(early).kind !== "other";
  }

  #watchStatements(early: Buffer): void {
    const { client, authority, ca, limits } = this.#setup;
    this.#early = undefined;
    this.#sql = new SqlConnection({ client, upstream: this.#upstream, host: authority.host, ca, headMs: limits.headMs }, this.#host);
    this.#sql.clientData(early);
    if (this.#clientFinished) this.#sql.clientEnded();
  }

  #multiplex(client: TlsServerSide): void {
    const { authority, target, limits } = this.#setup;
    const { scheme } = this.#secured;
    this.#mode = "multiplexed";
    this.#host.lasts(0);
    const gate = this.#host.gate(this.#secured);
    const upstream = this.#upstream;
    this.#http2 = new Http2Requests(
      { client, authority, scheme, gate, target, limits, upstream },
      {
        lasts: (milliseconds) => this.#host.lasts(milliseconds),
        broken: (code, reason) => {
          this.#host.refusedBytes(code, reason);
          this.#endMultiplexed();
        },
      },
    );
    const serverEarly = this.#serverEarly;
    this.#serverEarly = undefined;
    if (serverEarly !== undefined) upstream.events.upstreamData(serverEarly);
    const early = this.#early;
    this.#early = undefined;
    if (early !== undefined) this.#http2.clientData(early);
    if (this.#clientFinished) this.#endMultiplexed();
  }

  /** Our FIN behind what was said last; the client gets some time to read it. */
  #endMultiplexed(): void {
    this.#mode = "over";
    this.#http2?.finish();
    this.#http2?.close();
    this.#host.lasts(this.#setup.limits.lingerMs);
    this.#ends.client.resume();
    if (this.#clientFinished) this.#ends.client.end();
  }

  /** Bytes in which no requests can be seen. */
  #opaque(spoken: Spoken): void {
    const what = SPOKEN[spoken];
    const { misdirected } = this.#secured;
    if (misdirected !== undefined) {
      this.#refuseBytes("sni_mismatch", misdirected);
    } else if (this.#plan.opaque === "refuse") {
      const reason = `${what} where the policy has rules about requests`;
      this.#host.refusedBytes("unsupported_l7_protocol", reason);
      this.#ends.toClient(this.#host.unsupported(reason));
      this.finishClient();
    } else {
      if (this.#plan.opaque === "audit") this.#host.audited("unsupported_l7_protocol", `${what} where the policy has rules about requests`);
      this.#passRaw();
    }
  }

  #passRaw(): void {
    if (!this.#host.passesUnread()) {
      this.#refuseBytes("policy_changed", "the approval was for one request, and that has been made");
      return;
    }
    this.#host.lasts(0);
    this.#mode = "opening";
    if (this.#upstream.socket !== undefined && !(this.#secured.scheme === "https" && this.#upstream.opening)) this.#startRaw();
    else this.#upstream.open(this.#secured.scheme);
  }

  #startRaw(): void {
    const { socket } = this.#upstream;
    if (socket === undefined) return;
    this.#mode = "raw";
    this.#passage = new Passage(this.#ends, socket, { tunnelEnded: () => this.#host.inspectionEnded() });
    const early = this.#early;
    this.#early = undefined;
    const serverEarly = this.#serverEarly;
    this.#serverEarly = undefined;
    if (serverEarly !== undefined) this.#passage.fromServer(serverEarly);
    if (early !== undefined) this.#passage.fromClient(early);
    this.#ends.upstreamValve.release();
    this.#ends.clientValve.release();
    if (this.#clientFinished) this.#passage.clientFinished();
  }

  #drained(): void {
    if (this.#http2 !== undefined) this.#http2.clientDrained();
    else if (this.#passage !== undefined) this.#passage.clientDrained();
    else this.#ends.clientDrained();
  }

  #ended(): void {
    if (this.#clientFinished) return;
    this.#clientFinished = true;
    if (this.#mode === "requests") this.#http1?.conversation.clientFinished();
    else if (this.#mode === "multiplexed") this.#endMultiplexed();
    else if (this.#mode === "raw") this.#passage?.clientFinished();
    else if (this.#mode === "first" && this.#plan.opaque === "relay" && this.#upstream.socket !== undefined) this.#passRaw();
    else if (this.#mode !== "opening") this.#ends.client.end();
  }

  // What the server says.

  upstreamReady(): void {
    if (this.#mode === "handshake" && this.#tls === undefined) this.#answerHello([this.#upstream.protocol ?? HTTP1]);
    else if (this.#mode === "requests") this.#http1?.conversation.upstreamReady();
    else if (this.#mode === "opening") this.#startRaw();
  }

  upstreamFailed(problem: string): void {
    // The client learns it as the answer to its first request.
    if (this.#mode === "handshake" && this.#tls === undefined) this.#answerHello([HTTP1, HTTP2]);
    else if (this.#mode === "requests") this.#http1?.conversation.upstreamFailed(problem);
    else if (this.#mode === "opening") this.#refuseBytes("upstream_failed", problem);
  }

  upstreamData(bytes: Buffer): void {
    if ((this.#mode === "first" || this.#mode === "handshake") && this.#upstream.protocol === HTTP2) {
      // A server's SETTINGS may come before the client's handshake is complete.
      this.#serverEarly = this.#serverEarly === undefined ? bytes : Buffer.concat([this.#serverEarly, bytes]);
      if (this.#serverEarly.length > MAX_SERVER_EARLY_BYTES) this.#ends.upstreamValve.hold();
      return;
    }
    // The server speaks first: no protocol of requests that we read.
    const undecided = this.#mode === "first" || (this.#mode === "handshake" && this.#tls !== undefined);
    if (undecided && this.#plan.opaque === "relay" && this.#secured.misdirected === undefined) this.#passRaw();
    if (this.#mode === "requests") this.#http1?.conversation.upstreamData(bytes);
    else if (this.#mode === "raw") this.#passage?.fromServer(bytes);
    else this.#upstream.drop();
  }

  upstreamDrained(): void {
    if (this.#passage !== undefined) this.#passage.upstreamDrained();
    else this.#ends.upstreamDrained();
  }

  upstreamEnded(): void {
    if (this.#mode === "requests") this.#http1?.conversation.upstreamFinished();
    else if (this.#mode === "raw") this.#passage?.upstreamFinished();
    else this.upstreamClosed(undefined);
  }

  upstreamClosed(error: Error | undefined): void {
    if (this.#mode === "requests") this.#http1?.conversation.upstreamFinished();
    else if (this.#passage !== undefined) this.#passage.upstreamClosed(error);
    // The server ended a connection that nobody has used: as it would without us.
    else if (this.#mode === "first" && this.#early === undefined && this.#tls === undefined) this.finishClient();
  }

  // What HTTP/1 requests come to.

  finishClient(): void {
    this.#mode = "over";
    this.#host.lasts(this.#setup.limits.lingerMs);
    this.#ends.finishClient();
    if (this.#clientFinished) this.#ends.client.end();
  }

  abort(): void {
    this.#mode = "over";
    if (this.#sql !== undefined) {
      this.#sql.abort();
      return;
    }
    this.#passage = undefined;
    this.#http2?.abandon();
    this.#ends.abort();
  }

  lasts(milliseconds: number): void {
    this.#host.lasts(milliseconds);
  }

  upgraded(upgrade: Upgrade, { fromServer, fromClient }: EarlyBytes): void {
    const { socket } = this.#upstream;
    if (socket === undefined) return;
    this.#mode = "raw";
    upgrade.gate.switched(upgrade.request, upgrade.inspector);
    this.#passage = new Passage(this.#ends, socket, { tunnelEnded: () => this.#host.inspectionEnded() }, upgrade);
    if (fromServer !== undefined) this.upstreamData(fromServer);
    if (fromClient !== undefined) this.#received(fromClient);
  }

  #refuseBytes(code: string, reason: string): void {
    if (this.#mode === "over") return;
    this.#host.refusedBytes(code, reason);
    this.abort();
  }
}

/** What a server may say before its client has spoken: SETTINGS and a little more. */
const MAX_SERVER_EARLY_BYTES = 65_536;
