import type { Socket } from "bun";
import type { Actor } from "../../../events/event.ts";
import type { Identification, ProgramIdentity } from "../box/contract.ts";
import type { ControlPlaneConnection } from "../control-plane/connection.ts";
import { allowedEvent, closedEvent, controlPlaneCall, controlPlaneEvent, refusedEvent, unreadEvent } from "./decision-event.ts";
import type { EgressContext } from "./egress-context.ts";
import { Exchange } from "./exchange.ts";
import { readHead } from "./http1/head.ts";
import { originFormHead } from "./http1/origin-form.ts";
import { readOriginRequest } from "./http1/origin-request.ts";
import { actorOf } from "./identity.ts";
import { InspectedConnection } from "./inspect/inspected-connection.ts";
import { InspectionSite } from "./inspect/site.ts";
import { type Intent, intentOf } from "./intent.ts";
import { CLIENT_KEEP_ALIVE_MS, UPSTREAM_KEEP_ALIVE_MS } from "./limits.ts";
import { rulesOf } from "./one-time-rules.ts";
import { type Holder, holderOf } from "./places.ts";
import { refusalOf, unreadRefusal } from "./refusal.ts";
import { Tunnel } from "./relay.ts";
import type { UpstreamProxy } from "./upstream-proxy/upstream-proxy.ts";
import { type Denied, judge, nowInspected, stillPermitted, unreachable, type Verdict } from "./verdict.ts";

const ESTABLISHED = Buffer.from("HTTP/1.1 200 Connection Established\r\n\r\n");

/**
 * waiting: no room yet. head: reading the request. deciding: identity, policy, addresses. dialling: connecting upstream.
 * open: bytes flow. refusing: the answer is sent, waiting for the client to close. closed: nothing left.
 */
export type ConnectionState = "waiting" | "head" | "deciding" | "dialling" | "open" | "refusing" | "closed";

/** What a connection needs from the listener that accepted it. */
export interface ConnectionHost {
  stateChanged(connection: Connection, from: ConnectionState, to: ConnectionState): void;
  /** Opens a connection to one address; the socket's events come back to `connection`. */
  dial(connection: Connection, address: string, port: number, via: UpstreamProxy | undefined): void;
}

type Allowed = Verdict & { allowed: true };

/**
 * One accepted connection from its first byte to its end. Sockets call in; what may be done is decided in `judge`. A captured one, which
 * was made past the proxy, says nothing and is told nothing: its destination is known from the start, a refusal is a reset.
 */
export class Connection {
  readonly client: Socket<Connection>;
  readonly who: Identification;
  /** Whose places it takes. */
  readonly holder: Holder;
  /** Where a captured connection wants to go; undefined for a client of the proxy. */
  readonly #captured: Intent | undefined;
  /** `performance.now()` at which the present state has lasted too long; 0: no limit. */
  deadline = 0;
  readonly #context: EgressContext;
  readonly #host: ConnectionHost;
  #state: ConnectionState = "waiting";
  /** Bytes from the client that could not be used yet. */
  #early: Buffer | undefined;
  #earlyPaused = false;
  #clientFinished = false;
  #intent: Intent | undefined;
  #verdict: Allowed | undefined;
  #attempt = 0;
  #upstream: Socket<Connection> | undefined;
  #tunnel: Tunnel | undefined;
  /** What passes here is the one request of a rule that is gone: it goes on to its end. */
  #usedRule = false;
  /** The one request and answer of a forwarded connection. */
  #exchange: Exchange | undefined;
  /** What a CONNECT tunnel or a captured connection carries. */
  #inspected: InspectedConnection | ControlPlaneConnection | undefined;

  constructor(client: Socket<Connection>, who: Identification, context: EgressContext, host: ConnectionHost, captured?: Intent) {
    this.client = client;
    this.who = who;
    this.holder = holderOf(who);
    this.#captured = captured;
    this.#context = context;
    this.#host = host;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** There is room: start reading the request, or deciding a connection that needs none. */
  admit(): void {
    if (this.#captured !== undefined) {
      this.#consider(this.#captured);
      return;
    }
    this.#enter("head", this.#context.limits.headMs);
    const early = this.#early;
    this.#early = undefined;
    if (early !== undefined) this.#readHead(early);
  }

  clientData(bytes: Buffer): void {
    if (this.#inspected !== undefined) {
      this.#inspected.clientData(bytes);
    } else if (this.#state === "open") {
      this.#toUpstream(bytes);
    } else if (this.#state === "head") {
      this.#readHead(this.#early === undefined ? bytes : Buffer.concat([this.#early, bytes]));
    } else if (this.#state !== "refusing" && this.#state !== "closed") {
      this.#keepEarly(bytes);
    }
  }

  clientDrained(): void {
    if (this.#inspected !== undefined) this.#inspected.clientDrained();
    else this.#tunnel?.clientDrained();
  }

  /** FIN from the client: a tunnel passes it on, a request that is not complete yet will never be. */
  clientEnded(): void {
    this.#clientFinished = true;
    // It may be gone altogether, which a server that never answers would let nobody notice.
    this.client.setKeepAlive(true, CLIENT_KEEP_ALIVE_MS);
    if (this.#inspected !== undefined) this.#inspected.clientEnded();
    else if (this.#state === "open") this.#tunnel?.clientFinished();
    else if (this.#state !== "deciding" && this.#state !== "dialling") this.client.end();
  }

  clientClosed(error: Error | undefined): void {
    if (this.#inspected !== undefined) this.#inspected.clientClosed(error);
    else if (this.#tunnel !== undefined) this.#tunnel.clientClosed(error);
    else this.#enter("closed", 0);
  }

  upstreamOpened(socket: Socket<Connection>): void {
    const { intent, verdict } = { intent: this.#intent, verdict: this.#verdict };
    if (this.#state !== "dialling" || intent === undefined || verdict === undefined || !this.who.known) {
      socket.terminate();
      return;
    }
    this.#upstream = socket;
    socket.setKeepAlive(true, UPSTREAM_KEEP_ALIVE_MS);
    if (intent.request === undefined || verdict.plan.inspected) {
      this.#inspect(intent, this.who.program, verdict, socket);
      return;
    }
    const hold = this.#context.oneTime.use(rulesOf(verdict.endpoints));
    if (hold === "gone") {
      socket.terminate();
      this.abort();
      return;
    }
    this.#usedRule = hold === "used";
    this.#tunnel = new Tunnel(this.client, socket, this);
    this.#context.emit(allowedEvent(intent, actorOf(this.who.program, verdict.sha256), verdict, this.#address()));
    this.#enter("open", 0);
    this.#exchange = new Exchange(intent.request);
    this.#tunnel.toUpstream(this.#exchange.requestHead);
    this.#releaseEarly();
  }

  /** Tells the client to go ahead. `upstream`: absent while no request has been allowed where requests are decided. */
  #inspect(intent: Intent, program: ProgramIdentity, verdict: Allowed, upstream: Socket<Connection> | undefined): void {
    const { authority } = intent;
    const { ca, authorities, limits } = this.#context;
    const site = this.#site(intent, program, verdict);
    const target = {
      addresses: verdict.addresses,
      ...(verdict.via && { via: verdict.via }),
      port: authority.port,
      host: authority.host,
      refuses: (address: string) => this.#refusedNow(address)?.reason,
      authorities,
      dialMs: limits.dialMs,
      keepAliveMs: UPSTREAM_KEEP_ALIVE_MS,
      ...(verdict.local && { unix: verdict.local.socketPath }),
    };
    this.#context.emit(allowedEvent(intent, actorOf(program, verdict.sha256), verdict, this.#address()));
    this.#enter("open", 0);
    this.#inspected = new InspectedConnection({ client: this.client, authority, plan: verdict.plan, target, ca, limits }, site, upstream);
    // A request for a proxy is read once more, as its server would get it: then it takes the way of all others.
    if (intent.request !== undefined) this.#inspected.converse(originFormHead(intent.request));
    else if (this.#captured === undefined) this.client.write(ESTABLISHED);
    this.#releaseEarly();
  }

  #site(intent: Intent, program: ProgramIdentity, verdict: Allowed): InspectionSite {
    return new InspectionSite(intent, program, verdict, this.#context, {
      lasts: (milliseconds) => this.#lasts(milliseconds),
      inspectionEnded: () => this.tunnelEnded(),
      usedRule: () => {
        this.#usedRule = true;
      },
    });
  }

  /** `socket`: only the one in use counts; a late one of an earlier attempt does not. */
  upstreamData(socket: Socket<Connection>, bytes: Buffer): void {
    if (socket !== this.#upstream) return;
    if (this.#inspected !== undefined) {
      this.#inspected.upstream?.rawData(bytes);
      return;
    }
    if (this.#exchange === undefined || this.#exchange.answered) {
      this.#tunnel?.toClient(bytes);
      return;
    }
    const output = this.#exchange.answer(bytes);
    if (output !== undefined) this.#tunnel?.toClient(output);
    if (this.#exchange.problem !== undefined) this.#answerBadGateway(this.#exchange.problem);
  }

  upstreamDrained(socket: Socket<Connection>): void {
    if (socket !== this.#upstream) return;
    if (this.#inspected !== undefined) this.#inspected.upstream?.rawDrained();
    else this.#tunnel?.upstreamDrained();
  }

  upstreamEnded(socket: Socket<Connection>): void {
    if (socket !== this.#upstream) return;
    if (this.#inspected !== undefined) this.#inspected.upstream?.rawEnded();
    else if (this.#exchange !== undefined && !this.#exchange.answered)
      this.#answerBadGateway("the server closed the connection without an answer");
    else this.#tunnel?.upstreamFinished();
  }

  upstreamClosed(socket: Socket<Connection>, error: Error | undefined): void {
    if (socket !== this.#upstream) return;
    if (this.#inspected !== undefined) this.#inspected.upstream?.rawClosed(error);
    else if (error !== undefined && this.#exchange !== undefined && !this.#exchange.answered)
      this.#answerBadGateway("the server reset the connection without an answer");
    else this.#tunnel?.upstreamClosed(error);
  }

  upstreamFailed(problem: string): void {
    if (this.#state !== "dialling" || this.#intent === undefined || this.#verdict === undefined) return;
    if (this.#attempt + 1 < this.#verdict.addresses.length) {
      this.#attempt++;
      const refused = this.#refusedNow(this.#address());
      if (refused === undefined) this.#dial();
      else this.#refuse(refused);
    } else {
      this.#refuse(unreachable(this.#intent, this.#verdict.policy, this.#address(), problem));
    }
  }

  tunnelEnded(): void {
    this.#enter("closed", 0);
  }

  /** The present state has lasted too long. */
  expire(): void {
    const { headMs, dialMs } = this.#context.limits;
    if (this.#state === "head") this.refuseUnread(408, "head_timeout", `no complete request head within ${headMs} ms`);
    else if (this.#state === "dialling") this.upstreamFailed(`no answer within ${dialMs} ms`);
    else if (this.#inspected !== undefined) this.#inspected.expire();
    else this.client.end();
  }

  /** Ends a connection that the policy in force no longer permits; true when it did. */
  closeIfDisallowed(): boolean {
    const { intent, verdict, who } = { intent: this.#intent, verdict: this.#verdict, who: this.who };
    if (!who.known || intent === undefined || verdict === undefined) return false;
    if (this.#usedRule || (this.#state !== "open" && this.#state !== "dialling")) return false;
    const now = stillPermitted(intent, who.program, this.#address(), this.#context);
    if (now.allowed && this.#inspected?.outlived(now.plan) !== true && this.#mayGoOn(intent, who.program, now)) {
      // What will pass is a matter of the policy at that moment, not of the one under which its server was dialled.
      if (this.#state === "dialling") this.#verdict = { ...verdict, policy: now.policy, endpoints: now.endpoints, plan: now.plan };
      return false;
    }
    this.#context.emit(closedEvent(intent, actorOf(who.program, verdict.sha256), now.allowed ? nowInspected(now.policy) : now));
    this.abort();
    return true;
  }

  /** Whether a forwarded request that nobody decided, since there were no rules about requests, would be let through now. */
  #mayGoOn(intent: Intent, program: ProgramIdentity, now: Allowed): boolean {
    if (this.#exchange === undefined || intent.request === undefined || !now.plan.inspected) return true;
    const result = readOriginRequest(originFormHead(intent.request), intent.authority);
    const gate = this.#site(intent, program, now).gate({ scheme: "http", misdirected: undefined });
    return result.kind === "request" && gate.mayGoOn(result.request);
  }

  /** Answers a request that has no intent: unreadable, too slow, or no room for it. */
  refuseUnread(status: number, code: string, reason: string): void {
    this.#context.emit(unreadEvent(this.#actor(), code, reason, this.#captured?.authority));
    if (this.#captured !== undefined) this.abort();
    else this.#answer(unreadRefusal(status, code, reason, this.who));
  }

  /** Ends every socket at once. */
  abort(): void {
    if (this.#inspected !== undefined) this.#inspected.abort();
    else if (this.#tunnel !== undefined) this.#tunnel.abort();
    else this.client.terminate();
    this.#enter("closed", 0);
  }

  #keepEarly(bytes: Buffer): void {
    this.#early = this.#early === undefined ? bytes : Buffer.concat([this.#early, bytes]);
    if (this.#early.length <= this.#context.limits.earlyBytes || this.#earlyPaused) return;
    this.#earlyPaused = true;
    this.client.pause();
  }

  #readHead(bytes: Buffer): void {
    const result = readHead(bytes);
    this.#early = result.kind === "incomplete" ? bytes : undefined;
    if (result.kind === "incomplete") return;
    if (result.kind === "refused") {
      this.refuseUnread(result.status, result.code, result.reason);
      return;
    }
    if (result.size < bytes.length) this.#early = bytes.subarray(result.size);
    this.#consider(intentOf(result.head, this.#context.names));
  }

  #consider(intent: Intent): void {
    this.#intent = intent;
    this.#enter("deciding", 0);
    if (this.#enterControlPlane(intent)) return;
    const verdict = judge(intent, this.who, this.#context);
    if (verdict instanceof Promise) verdict.then((later) => this.#decided(later));
    else this.#decided(verdict);
  }

  /** The sandbox's own gateway is no matter of policy: what may be done there is decided there. */
  #enterControlPlane(intent: Intent): boolean {
    const { controlPlane, limits, emit } = this.#context;
    const { host, port } = intent.authority;
    if (host !== controlPlane?.authority.host || port !== controlPlane.authority.port) return false;
    if (!this.who.known || intent.request !== undefined) return false;
    const actor = actorOf(this.who.program);
    const entered = controlPlane.open(this.client, limits.headMs, {
      lasts: (milliseconds) => this.#lasts(milliseconds),
      called: (method, path, status) => emit(controlPlaneCall(intent, actor, `${method} ${path}`, status)),
      ended: () => this.tunnelEnded(),
    });
    if (entered === undefined) return false;
    emit(controlPlaneEvent(intent, actor));
    this.#enter("open", limits.headMs);
    this.#inspected = entered;
    if (this.#captured === undefined) this.client.write(ESTABLISHED);
    this.#releaseEarly();
    return true;
  }

  #decided(verdict: Verdict): void {
    if (this.#state !== "deciding") return;
    if (!verdict.allowed) {
      this.#refuse(verdict);
      return;
    }
    this.#verdict = verdict;
    const intent = this.#intent;
    if (intent === undefined) return;
    // Where every request is decided, the server hears nothing before the first that is allowed.
    const first = intent.request === undefined ? verdict.plan.opaque === "refuse" : verdict.plan.inspected;
    if (first && this.who.known) this.#inspect(intent, this.who.program, verdict, undefined);
    else this.#dial();
  }

  /** Which addresses may be dialled is a matter of the policy at that moment, not of the one under which they were looked up. */
  #refusedNow(address: string): Denied | undefined {
    if (this.#usedRule || this.#intent === undefined || !this.who.known) return undefined;
    const now = stillPermitted(this.#intent, this.who.program, address, this.#context);
    return now.allowed ? undefined : now;
  }

  #dial(): void {
    if (this.#intent === undefined) return;
    this.#enter("dialling", this.#context.limits.dialMs);
    this.#host.dial(this, this.#address(), this.#intent.authority.port, this.#verdict?.via);
  }

  /** The address in use: the one that is dialled, or was. */
  #address(): string {
    return this.#verdict?.addresses[this.#attempt] ?? "";
  }

  #releaseEarly(): void {
    const early = this.#early;
    this.#early = undefined;
    if (this.#earlyPaused) this.client.resume();
    if (early !== undefined && this.#inspected !== undefined) this.#inspected.clientData(early);
    else if (early !== undefined) this.#toUpstream(early);
    if (!this.#clientFinished || this.#state !== "open") return;
    if (this.#inspected !== undefined) this.#inspected.clientEnded();
    else this.#tunnel?.clientFinished();
  }

  /** A tunnel passes everything; a forwarded request only what belongs to its body. */
  #toUpstream(bytes: Buffer): void {
    const own = this.#exchange === undefined ? bytes : this.#exchange.body(bytes);
    if (own === undefined) this.abort();
    else if (own.length > 0) this.#tunnel?.toUpstream(own);
  }

  #refuse(denied: Denied): void {
    if (this.#intent === undefined) return;
    this.#context.emit(refusedEvent(this.#intent, this.#actor(), denied));
    if (this.#captured !== undefined) this.abort();
    else this.#answer(refusalOf(this.#intent, this.who, denied));
  }

  /** The server's fault after the request was let through: its one event has been emitted already. */
  #answerBadGateway(problem: string): void {
    const upstream = this.#upstream;
    this.#upstream = undefined;
    this.#tunnel = undefined;
    this.#exchange = undefined;
    upstream?.terminate();
    if (this.#intent === undefined || this.#verdict === undefined) return;
    const denied = unreachable(this.#intent, this.#verdict.policy, this.#address(), problem);
    this.#answer(refusalOf(this.#intent, this.who, denied));
  }

  /** Sends the answer and our FIN, then waits for the client's, so that unread bytes of it do not reset the connection under the answer. */
  #answer(response: Buffer): void {
    this.#enter("refusing", this.#context.limits.lingerMs);
    this.client.write(response);
    if (this.#clientFinished) {
      this.client.end();
    } else {
      this.client.resume();
      this.client.shutdown();
    }
  }

  #actor(): Actor | undefined {
    return this.who.known ? actorOf(this.who.program) : undefined;
  }

  #enter(state: ConnectionState, lastsMs: number): void {
    const from = this.#state;
    if (from === "closed") return;
    this.#state = state;
    this.#lasts(lastsMs);
    this.#host.stateChanged(this, from, state);
  }

  #lasts(milliseconds: number): void {
    this.deadline = milliseconds === 0 ? 0 : performance.now() + milliseconds;
  }
}
