import type { Socket } from "bun";
import type { Inspection } from "../../../../engine/decision.ts";
import { OpenShellError } from "../../../../error.ts";
import { descriptorOf } from "../descriptor.ts";
import { type Authority, readHost } from "../http1/authority.ts";
import type { OriginRequest } from "../http1/origin-request.ts";
import type { Refusal } from "../http1/refused.ts";
import type { EgressLimits } from "../limits.ts";
import { type ByteSocket, Flow, Tunnel, type TunnelEnds } from "../relay.ts";
import { readOpening } from "../sql/opening.ts";
import { SqlConnection } from "../sql/sql-connection.ts";
import type { StatementGate } from "../sql/watcher.ts";
import { type ClientHello, readClientHello, TLS_HANDSHAKE } from "../tls/client-hello.ts";
import type { SandboxCa } from "../tls/sandbox-ca.ts";
import { TlsServerSide } from "../tls/server-side.ts";
import { Conversation, type ConversationHost, type EarlyBytes, type Phase } from "./conversation.ts";
import { type Spoken, spokenIn } from "./first-bytes.ts";
import type { Gate, Secured } from "./gate.ts";
import { Http2Requests } from "./http2-requests.ts";
import { behind, InspectedStream } from "./inspected-stream.ts";
import type { Answer, Ruling, StreamInspector } from "./ruling.ts";
import { HTTP1, HTTP2, Upstream, type UpstreamEvents, type UpstreamTarget } from "./upstream.ts";
import { Valve } from "./valve.ts";

/** What an inspected connection needs of the one that accepted it. */
export interface InspectionHost {
  gate(secured: Secured): Gate;
  /** The present state ends in `expire` after so many milliseconds; 0: never. */
  lasts(milliseconds: number): void;
  /** The connection is over for a reason that somebody should know: it emits the event. */
  refusedBytes(code: string, reason: string): void;
  /** The whole answer, in plain text, to bytes that are no requests where there must be some. */
  unsupported(reason: string): Buffer;
  /** From here on bytes pass that are not looked at; false: what allowed that was for another request. */
  passesUnread(): boolean;
  /** Bytes pass that cannot be inspected where requests are audited. */
  audited(code: string, reason: string): void;
  /** Decides and tells of the statements of a session with a database. */
  statements(database: string): StatementGate;
  /** Nothing is left. */
  inspectionEnded(): void;
}

export interface InspectionSetup {
  readonly client: ByteSocket;
  readonly authority: Authority;
  readonly plan: Inspection;
  readonly target: UpstreamTarget;
  readonly ca: SandboxCa;
  readonly limits: Pick<EgressLimits, "headMs" | "bodyMs" | "lingerMs">;
}

/**
 * A connection whose client has been told to go ahead, from its first byte: TLS is ended here, requests are decided one by one, and what is
 * neither passes only where no rules are about requests.
 *
 * first: what does it speak? handshake: our end of TLS. requests: HTTP/1. multiplexed: HTTP/2. opening: bytes will pass, the server is not
 * there yet. raw: they do. over: nothing more passes.
 */
export class InspectedConnection implements ConversationHost, UpstreamEvents {
  readonly #setup: InspectionSetup;
  readonly #host: InspectionHost;
  readonly #upstream: Upstream;
  readonly #upstreamValve: Valve;
  readonly #clientValve: Valve;
  #plan: Inspection;
  #mode: "first" | "handshake" | "requests" | "multiplexed" | "opening" | "raw" | "over" = "first";
  #early: Buffer | undefined;
  #clientFinished = false;
  #tls: TlsServerSide | undefined;
  #secured: Secured = { scheme: "http", misdirected: undefined };
  /** Protocols that the client offers inside TLS. */
  #offered: readonly string[] = [];
  #gate: Gate | undefined;
  #conversation: Conversation | undefined;
  #http2: Http2Requests | undefined;
  /** Once it turns out to be one, the connection of a database client is all its own. */
  #sql: SqlConnection | undefined;
  /** What the server of an HTTP/2 connection has said before the client did. */
  #serverEarly: Buffer | undefined;
  #down = new Flow();
  #up = new Flow();
  #tunnel: Tunnel | undefined;
  /** The request whose upgrade let other bytes pass. */
  #upgraded: OriginRequest | undefined;
  #inspector: StreamInspector | undefined;
  #stream: InspectedStream | undefined;
  #phase: Phase = "idle";

  constructor(setup: InspectionSetup, host: InspectionHost, upstream: Socket<unknown> | undefined) {
    this.#setup = setup;
    this.#host = host;
    this.#plan = setup.plan;
    this.#upstream = new Upstream(setup.target, this);
    if (upstream !== undefined) this.#upstream.adopt(upstream);
    this.#upstreamValve = new Valve(() => this.#upstream.socket);
    this.#clientValve = new Valve(() => this.#client);
  }

  /** Where raw events of an upstream socket go that was dialled elsewhere. */
  get upstream(): Upstream {
    return this.#upstream;
  }

  get #client(): ByteSocket {
    return this.#tls ?? this.#setup.client;
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
    this.#conversation?.clientClosed();
    this.#inspector?.ended?.();
    this.#stream?.clientClosed();
    if (this.#tunnel !== undefined) {
      this.#tunnel.clientClosed(error);
      return;
    }
    this.#mode = "over";
    this.#http2?.close();
    this.#upstream.abort();
    this.#host.inspectionEnded();
  }

  /** The present state has lasted too long. */
  expire(): void {
    const { headMs, bodyMs } = this.#setup.limits;
    if (this.#sql !== undefined) this.#sql.expire();
    else if (this.#mode === "over") this.abort();
    else if (this.#mode === "multiplexed") this.#http2?.expire();
    else if (this.#mode === "first" && this.#early !== undefined && this.#early[0] !== TLS_HANDSHAKE) this.#opaque("unknown");
    else if (this.#mode === "requests" && this.#phase === "body")
      this.#conversation?.expire({ status: 408, code: "body_timeout", reason: `no complete request body within ${bodyMs} ms` });
    else if (this.#mode === "requests")
      this.#conversation?.expire({ status: 408, code: "head_timeout", reason: `no complete request head within ${headMs} ms` });
    else this.#refuseBytes("tls_timeout", `no complete TLS handshake within ${headMs} ms`);
  }

  /** A new policy: true when what passes here without being looked at may no longer do so. */
  outlived(plan: Inspection): boolean {
    this.#plan = plan;
    if (this.#sql !== undefined) return this.#sql.outlived(plan);
    this.#http2?.policyChanged();
    if (this.#mode === "requests") this.#conversation?.policyChanged();
    if (this.#upgraded !== undefined) return (this.#inspector?.stillAllowed?.() ?? this.#gate?.stillAllowed(this.#upgraded)) !== true;
    if (this.#mode !== "raw" && this.#mode !== "opening") return false;
    return plan.opaque === "refuse" || (this.#tls === undefined && plan.tls !== "skip" && this.#setup.plan.tls === "skip");
  }

  // What TLS says.

  #secure({ serverName, protocols }: ClientHello): void {
    const { authority, limits } = this.#setup;
    this.#mode = "handshake";
    this.#secured = { scheme: "https", misdirected: misdirection(serverName, authority) };
    this.#host.lasts(limits.headMs);
    this.#offered = protocols;
    if (this.#upstream.socket === undefined) {
      // The server hears nothing before a request is allowed. Should it speak less than the client, requests are translated.
      this.#answerHello([HTTP2, HTTP1]);
    } else if (protocols.includes(HTTP2)) {
      // What the server agrees to is what the client gets.
      this.#upstream.secure([HTTP2, HTTP1]);
    } else {
      this.#upstream.secure();
      this.#answerHello([HTTP1]);
    }
  }

  /**
   * `protocols`: what is spoken here, the favourite first. A client that offers none of them is answered without one, not turned away:
   * `curl -0` offers http/1.0 alone.
   */
  #answerHello(protocols: readonly string[]): void {
    const { authority, ca, client } = this.#setup;
    const early = this.#early;
    this.#early = undefined;
    this.#clientValve.release();
    const common = protocols.filter((protocol) => this.#offered.includes(protocol));
    this.#tls = new TlsServerSide(client, ca.context(authority.host), common.slice(0, 1), {
      secured: () => this.#handshakeDone(),
      data: (bytes) => this.#received(bytes),
      drained: () => this.#drained(),
      ended: () => this.#ended(),
      failed: (error) => this.#refuseBytes("tls_failed", `TLS with the client failed: ${error.message}`),
      faulted: (error) => this.#refuseBytes("internal", `the connection could not be handled: ${OpenShellError.from(error).message}`),
    });
    if (early !== undefined) this.#tls.feed(early);
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
          this.#clientValve.hold();
          break;
        }
        this.#handshakeDone();
        this.#recognise(bytes);
        break;
      case "first":
        this.#recognise(bytes);
        break;
      case "requests":
        this.#conversation?.clientData(bytes);
        break;
      case "multiplexed":
        this.#http2?.clientData(bytes);
        break;
      case "opening":
        this.#keep(bytes);
        this.#clientValve.hold();
        break;
      case "raw":
        if (this.#stream !== undefined) this.#stream.fromClient(bytes);
        else this.#tunnel?.toUpstream(bytes);
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
    this.#gate = this.#host.gate(this.#secured);
    const { authority, target } = this.#setup;
    const connected = this.#upstream.socket !== undefined;
    this.#conversation = new Conversation(
      { authority, scheme: this.#secured.scheme, connected, abandons: target.unix !== undefined },
      this,
    );
    const early = this.#early;
    this.#early = undefined;
    if (early !== undefined) this.#conversation.clientData(early);
    if (this.#clientFinished) this.#conversation.clientFinished();
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

  #multiplex(client: ByteSocket): void {
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
    this.#client.resume();
    if (this.#clientFinished) this.#client.end();
  }

  /** Bytes in which no requests can be seen. */
  #opaque(spoken: Spoken): void {
    const what = WHAT[spoken];
    const { misdirected } = this.#secured;
    if (misdirected !== undefined) {
      this.#refuseBytes("sni_mismatch", misdirected);
    } else if (this.#plan.opaque === "refuse") {
      const reason = `${what} where the policy has rules about requests`;
      this.#host.refusedBytes("unsupported_l7_protocol", reason);
      this.toClient(this.#host.unsupported(reason));
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
    this.#tunnel = new Tunnel(this.#client, socket, { tunnelEnded: () => this.#host.inspectionEnded() }, undefined, this.#kernelEnds());
    const early = this.#early;
    this.#early = undefined;
    const serverEarly = this.#serverEarly;
    this.#serverEarly = undefined;
    if (serverEarly !== undefined) this.#tunnel.toClient(serverEarly);
    if (early !== undefined) this.#tunnel.toUpstream(early);
    this.#upstreamValve.release();
    this.#clientValve.release();
    if (this.#clientFinished) this.#tunnel.clientFinished();
  }

  /** Where no TLS is ended, the kernel may pass bytes on by itself. */
  #kernelEnds(): TunnelEnds | undefined {
    const { client } = this.#setup;
    return this.#tls === undefined ? { client: () => descriptorOf(client), upstream: () => this.#upstream.descriptor } : undefined;
  }

  #drained(): void {
    if (this.#http2 !== undefined) this.#http2.clientDrained();
    else if (this.#tunnel !== undefined) this.#tunnel.clientDrained();
    else this.#down.drained(this.#upstreamValve, this.#client);
  }

  #ended(): void {
    if (this.#clientFinished) return;
    this.#clientFinished = true;
    if (this.#mode === "requests") this.#conversation?.clientFinished();
    else if (this.#mode === "multiplexed") this.#endMultiplexed();
    else if (this.#mode === "raw") (this.#stream ?? this.#tunnel)?.clientFinished();
    else if (this.#mode === "first" && this.#plan.opaque === "relay" && this.#upstream.socket !== undefined) this.#passRaw();
    else if (this.#mode !== "opening") this.#client.end();
  }

  // What the server says.

  upstreamReady(): void {
    if (this.#mode === "handshake" && this.#tls === undefined) this.#answerHello([this.#upstream.protocol ?? HTTP1]);
    else if (this.#mode === "requests") this.#conversation?.upstreamReady();
    else if (this.#mode === "opening") this.#startRaw();
  }

  upstreamFailed(problem: string): void {
    // The client learns it as the answer to its first request.
    if (this.#mode === "handshake" && this.#tls === undefined) this.#answerHello([HTTP1, HTTP2]);
    else if (this.#mode === "requests") this.#conversation?.upstreamFailed(problem);
    else if (this.#mode === "opening") this.#refuseBytes("upstream_failed", problem);
  }

  upstreamData(bytes: Buffer): void {
    if ((this.#mode === "first" || this.#mode === "handshake") && this.#upstream.protocol === HTTP2) {
      // A server's SETTINGS may come before the client's handshake is complete.
      this.#serverEarly = this.#serverEarly === undefined ? bytes : Buffer.concat([this.#serverEarly, bytes]);
      if (this.#serverEarly.length > MAX_SERVER_EARLY_BYTES) this.#upstreamValve.hold();
      return;
    }
    // The server speaks first: no protocol of requests that we read.
    const undecided = this.#mode === "first" || (this.#mode === "handshake" && this.#tls !== undefined);
    if (undecided && this.#plan.opaque === "relay" && this.#secured.misdirected === undefined) this.#passRaw();
    if (this.#mode === "requests") this.#conversation?.upstreamData(bytes);
    else if (this.#mode === "raw" && this.#stream !== undefined) this.#stream.fromServer(bytes);
    else if (this.#mode === "raw") this.#tunnel?.toClient(bytes);
    else this.#upstream.drop();
  }

  upstreamDrained(): void {
    if (this.#tunnel !== undefined) this.#tunnel.upstreamDrained();
    else if (this.#upstream.socket !== undefined) this.#up.drained(this.#clientValve, this.#upstream.socket);
  }

  upstreamEnded(): void {
    if (this.#mode === "requests") this.#conversation?.upstreamFinished();
    else if (this.#mode === "raw") this.#tunnel?.upstreamFinished();
    else this.upstreamClosed(undefined);
  }

  upstreamClosed(error: Error | undefined): void {
    if (this.#mode === "requests") this.#conversation?.upstreamFinished();
    else if (this.#tunnel !== undefined) this.#tunnel.upstreamClosed(error);
    // The server ended a connection that nobody has used: as it would without us.
    else if (this.#mode === "first" && this.#early === undefined && this.#tls === undefined) this.finishClient();
  }

  // What the conversation asks for.

  rule(request: OriginRequest): Ruling {
    if (this.#gate === undefined) throw new TypeError("a request before the gate");
    return this.#gate.rule(request);
  }

  mayGoOn(request: OriginRequest): boolean {
    return this.#gate?.mayGoOn(request) === true;
  }

  refuse(refusal: Refusal): Answer {
    if (this.#gate === undefined) throw new TypeError("a request before the gate");
    return this.#gate.unreadable(refusal);
  }

  badGateway(problem: string): Answer {
    if (this.#gate === undefined) throw new TypeError("a request before the gate");
    return this.#gate.badGateway(problem);
  }

  toClient(bytes: Buffer, owned = false): void {
    this.#down.pass(bytes, this.#upstreamValve, this.#client, owned);
  }

  toUpstream(bytes: Buffer, owned = false): void {
    if (this.#upstream.socket !== undefined) this.#up.pass(bytes, this.#clientValve, this.#upstream.socket, owned);
  }

  openUpstream(): void {
    this.#renewUp();
    this.#upstream.open(this.#secured.scheme);
  }

  dropUpstream(): void {
    this.#upstream.drop();
    this.#renewUp();
  }

  /** What a server that is gone did not take is gone with it. */
  #renewUp(): void {
    this.#up = new Flow();
    this.#clientValve.resume();
  }

  finishClient(): void {
    this.#mode = "over";
    this.#upstream.drop();
    this.#host.lasts(this.#setup.limits.lingerMs);
    this.#client.resume();
    this.#down.finish(this.#client);
    if (this.#clientFinished) this.#client.end();
  }

  abort(): void {
    this.#mode = "over";
    if (this.#sql !== undefined) {
      this.#sql.abort();
      return;
    }
    this.#tunnel = undefined;
    this.#http2?.close();
    this.#upstream.abort();
    this.#client.terminate();
  }

  holdClient(): void {
    this.#clientValve.hold();
  }

  releaseClient(): void {
    this.#clientValve.release();
  }

  entered(phase: Phase): void {
    // A head that comes in pieces has its time from its first byte on.
    if (phase === "head" && this.#phase === "head") return;
    const { headMs, bodyMs } = this.#setup.limits;
    this.#phase = phase;
    this.#host.lasts(phase === "head" ? headMs : phase === "body" ? bodyMs : 0);
  }

  switched(request: OriginRequest, inspector: StreamInspector | undefined, { fromServer, fromClient }: EarlyBytes): void {
    const { socket } = this.#upstream;
    if (socket === undefined) return;
    this.#mode = "raw";
    this.#upgraded = request;
    this.#inspector = inspector;
    this.#gate?.switched(request, inspector);
    this.#tunnel = new Tunnel(
      behind(this.#clientValve, this.#client),
      socket,
      { tunnelEnded: () => this.#host.inspectionEnded() },
      { up: this.#up, down: this.#down },
    );
    if (inspector !== undefined) this.#stream = new InspectedStream(inspector, this.#tunnel, this.#clientValve);
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

const WHAT: Readonly<Record<Spoken, string>> = {
  tls: "TLS that is not ended here",
  http: "HTTP",
  http2: "HTTP/2 without TLS",
  other: "a protocol other than HTTP",
  unknown: "an unknown protocol",
};

/** CONNECT, SNI and Host must name one server (the last is checked with each request). */
function misdirection(serverName: string | undefined, authority: Authority): string | undefined {
  if (serverName === undefined) return undefined;
  const named = readHost(serverName);
  return named === authority.host ? undefined : `TLS names another server than ${authority.host}`;
}

/** An address is never named in TLS; a name always is. */
function unnamed(serverName: string | undefined, { host }: Authority): string | undefined {
  return serverName === undefined && !/^[\d.]+$|:/.test(host) ? `TLS names no server, and only ${host} is allowed` : undefined;
}
