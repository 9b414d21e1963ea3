import type { Decision, HttpFacts, RequestDecision, RequestEngine, RequestFacts } from "../../../../engine/decision.ts";
import { inspectionOf } from "../../../../engine/inspection.ts";
import type { HttpEvent } from "../../../../events/event.ts";
import type { Endpoint } from "../../../../policy/model.ts";
import { planWithCredentials } from "../../credentials/connection-plan.ts";
import { maskedStream } from "../../credentials/message-mask.ts";
import type { CredentialSet } from "../../credentials/model.ts";
import { hasTrace, masked, maskedPath } from "../../credentials/placeholder.ts";
import { CredentialRefused } from "../../credentials/refused.ts";
import { bodyTooLong, messageMask, pathForCredentials, prepare, prepareMessage } from "../../credentials/step.ts";
import type { AnsweredSink } from "../answered.ts";
import { type BodyNeeds, readNeeded, tooLong, unexpectedBody } from "../bodies/read-body.ts";
import type { OriginRequest } from "../http1/origin-request.ts";
import { canonicalPath } from "../http1/path.ts";
import { AMPERSAND_OR_SEMICOLON, readQuery } from "../http1/query.ts";
import { HeadError, type Refusal } from "../http1/refused.ts";
import { rulesOf } from "../one-time-rules.ts";
import { WebSocketInspector } from "../websocket/inspector.ts";
import { MessageGate, type TextRewrite, textFacts } from "../websocket/message-gate.ts";
import { upgradeProblem, withoutExtensions } from "../websocket/upgrade.ts";
import { overrides } from "./override.ts";
import { codeAndReason, NEXT_BODY, NEXT_READABLE, RequestTeller, type TellerSetup } from "./request-teller.ts";
import type { Answer, Ruling, StreamInspector } from "./ruling.ts";

export interface GateSetup extends TellerSetup {
  readonly engine: RequestEngine;
  /** Why every request here is for another server than the connection was decided for; undefined: it is not. */
  readonly misdirected: string | undefined;
  /** Told of answers to what was let through; undefined: nobody wants to know. */
  readonly answered?: AnsweredSink | undefined;
  /** Tells which rules allow what is let through; true: it is the one request that they were for, and may go on. */
  readonly use?: (rules: readonly string[]) => boolean;
}

/** Decides the requests of one connection, one by one under the policy in force at that moment, and tells of each. */
export class RequestGate {
  readonly #setup: GateSetup;
  readonly #teller: RequestTeller;
  /** The connection as it was decided last, and whether rules about requests are in it. */
  #connectionSeen: Decision | undefined;
  #inspected = true;
  /** Requests whose rules were for them alone. */
  readonly #granted = new WeakSet<OriginRequest>();
  #grantedUpgrade = false;
  /** The answer that was told of last. */
  #answered = "";

  constructor(setup: GateSetup) {
    this.#setup = setup;
    this.#teller = new RequestTeller(setup);
  }

  /** What the server gets of the request, or the answer to the client. */
  rule(request: OriginRequest): Ruling {
    return this.#rule(request, undefined);
  }

  #rule(request: OriginRequest, body: Buffer | undefined): Ruling {
    const { misdirected } = this.#setup;
    if (misdirected !== undefined)
      return answering(this.#teller.refused({ status: 421, code: "misdirected", reason: misdirected }, request));
    try {
      return this.#decide(request, body);
    } catch (error) {
      if (error instanceof HeadError) return answering(this.#teller.refused(error.refusal, request));
      if (error instanceof CredentialRefused) return answering(this.#teller.withoutCredential(error, request));
      throw error;
    }
  }

  /** Whether the request would pass now; says nothing about it. For connections that have changed to another protocol and pass unread. */
  stillAllowed(request: OriginRequest): boolean {
    if (this.#grantedUpgrade) return true;
    const facts = this.#readable(request);
    if (facts === undefined) return true;
    // Where rules are about requests, no other change of protocol would have been passed on.
    if (facts instanceof HeadError || facts.upgrade !== request.upgrade) return false;
    const decision = this.#ask(facts);
    return decision.action !== "deny" && !readsMessages(decision);
  }

  /** Whether a request under way may go on; what its body asked for is not looked at again. Tells of one that may not. */
  mayGoOn(request: OriginRequest): boolean {
    if (this.#granted.has(request)) return true;
    const facts = this.#readable(request);
    if (facts === undefined) return true;
    if (facts instanceof HeadError) {
      this.#teller.ended(request.method, request.path, facts.refusal);
      return false;
    }
    const decision = this.#ask(facts);
    if (decision.action !== "deny" || decision.needs !== undefined) return true;
    this.#teller.ended(facts.method, facts.path, decision);
    return false;
  }

  /** As `#facts`. A request that passed where no rules were about requests may be one that rules cannot read. */
  #readable(request: OriginRequest): HttpFacts | HeadError | undefined {
    try {
      return this.#facts(request);
    } catch (error) {
      if (error instanceof HeadError) return error;
      throw error;
    }
  }

  unreadable(refusal: Refusal): Answer {
    return this.#teller.unreadable(refusal);
  }

  badGateway(problem: string): Answer {
    return this.#teller.badGateway(problem);
  }

  switched(request: OriginRequest, inspector: StreamInspector | undefined): void {
    this.#teller.switched(request, inspector);
  }

  /** `body`: all of it, once it has been collected. */
  #decide(request: OriginRequest, body: Buffer | undefined): Ruling {
    const facts = this.#facts(request);
    if (facts === undefined) return this.#unruled(request, body);
    const decision = this.#ask(facts);
    if (decision.needs === undefined) return this.#settle(request, facts, decision, body);
    const read = readNeeded(decision.needs, request, facts, body);
    if (read.kind === "collect") return this.#collect(request, decision.needs, read.limit);
    if (read.kind === "unreadable") return answering(this.#teller.refused(read, request, NEXT_BODY, decision.policy));
    const asked = { ...facts, ...read.facts };
    return this.#settle(request, asked, this.#ask(asked), body);
  }

  #collect(request: OriginRequest, needs: BodyNeeds, limit: number): Ruling {
    return {
      kind: "collect",
      limit,
      // Decided anew: the policy may have changed while the body came.
      ruled: (body) => this.#rule(request, body),
      exceeded: () => this.#teller.refused(tooLong(needs, request), request, NEXT_BODY),
    };
  }

  #settle(request: OriginRequest, facts: HttpFacts, decision: RequestDecision, body: Buffer | undefined): Ruling {
    if (decision.action === "deny") return answering(this.#teller.denied(facts, decision));
    const override = overrides(request);
    if (override !== undefined) return answering(this.#teller.refused(override, request, NEXT_READABLE, decision.policy));
    const unexpected = unexpectedBody(request, facts, decision);
    if (unexpected !== undefined) return answering(this.#teller.refused(unexpected, request, NEXT_BODY, decision.policy));
    const inspected = facts.upgrade === "websocket" && readsMessages(decision);
    const problem = inspected ? upgradeProblem(request) : undefined;
    if (problem !== undefined) return answering(this.#teller.refused({ status: 400, code: "websocket_upgrade", reason: problem }, request));
    const passed = { ...request, path: canonicalPath(request.path), upgrade: facts.upgrade };
    const endpoints = decision.endpoint === undefined ? [] : [decision.endpoint];
    const mask = facts.upgrade === "" ? undefined : messageMask(endpoints, inspected, this.#setup.credentials);
    const policy = decision.policy ?? this.#setup.policy;
    return this.#prepared(inspected ? withoutExtensions(passed) : passed, { endpoints, policy }, body, (credentials) => {
      this.#use(request, decision.policy === undefined ? [] : [decision.policy]);
      const audited = decision.action === "audit";
      this.#teller.emit({
        severity: audited ? "low" : "informational",
        action: "allowed",
        method: facts.method,
        url: this.#teller.url(facts.path),
        policy,
        engine: "l7",
        ...credentials,
        ...(audited ? { stage: "l7_audit", ...codeAndReason(decision) } : {}),
      });
      if (!inspected) return undefined;
      const messages = this.#messages(facts, passed);
      return mask === undefined ? messages : maskedStream(messages, mask);
    });
  }

  /** The last step of what is allowed: secrets take the place of their placeholders. `allowed` tells of it, once the body is there if it is needed. */
  #prepared(
    request: OriginRequest,
    { endpoints, policy }: { readonly endpoints: readonly Endpoint[]; readonly policy: string },
    body: Buffer | undefined,
    allowed: (credentials: Pick<HttpEvent, "credentials">) => StreamInspector | undefined,
  ): Ruling {
    const prepared = prepare(request, endpoints, body, this.#setup.credentials, this.#setup);
    if (prepared.kind === "collect") {
      const { limit } = prepared;
      const exceeded = () => this.#teller.withoutCredential(bodyTooLong(limit), request);
      return { kind: "collect", limit, ruled: (whole) => this.#rule(request, whole), exceeded };
    }
    const stream = allowed(prepared.used.length === 0 ? {} : { credentials: prepared.used.map(({ key }) => key) });
    const answered = (status: number): void => this.#answer(policy, status);
    return { ...prepared.forward, answered, ...(stream && { stream }) };
  }

  #answer(policy: string, status: number): void {
    const { answered, authority } = this.#setup;
    const same = `${status} ${policy}`;
    if (answered === undefined || this.#answered === same) return;
    this.#answered = same;
    answered({ host: authority.host, port: authority.port, policy, status });
  }

  #use(request: OriginRequest, rules: readonly string[]): void {
    if (this.#setup.use?.(rules) !== true) return;
    this.#granted.add(request);
    this.#grantedUpgrade ||= request.upgrade !== "";
  }

  #messages(upgrade: HttpFacts, request: OriginRequest): WebSocketInspector {
    const { engine } = this.#setup;
    const gate = new MessageGate({
      upgrade,
      generation: () => engine.generation,
      ask: (facts) => this.#question(facts),
      stillAllowed: () => this.#ask(upgrade).action !== "deny",
      emit: (event) => this.#teller.emit({ url: this.#teller.url(upgrade.path), engine: "l7", ...event }),
      rewriteText: (text) => this.#rewritten(text, upgrade, request),
    });
    return new WebSocketInspector(gate);
  }

  #rewritten(text: string, upgrade: HttpFacts, request: OriginRequest): TextRewrite {
    const { endpoint } = this.#question(upgrade);
    try {
      return { text: prepareMessage(text, request, endpoint === undefined ? [] : [endpoint], this.#setup.credentials, this.#setup).value };
    } catch (error) {
      if (error instanceof CredentialRefused) return { refused: error.message };
      throw error;
    }
  }

  #connection(): Decision {
    const { engine, authority, program } = this.#setup;
    return engine.decide({ ...authority, exe: program.exe, ancestors: program.ancestors });
  }

  /** Undefined where no rules are about requests: then they pass as they are. Of credentials, rules see that they are there. */
  #facts(request: OriginRequest): HttpFacts | undefined {
    if (!this.#isInspected(this.#connection())) return undefined;
    // Any other change of protocol is declined as HTTP allows it, by going on without (threat 23); Java asks for h2c each time.
    const upgrade = request.upgrade === "websocket" ? "websocket" : "";
    const { current } = this.#setup.credentials;
    const path = maskedPath(canonicalPath(request.path), current);
    const query = request.query ?? "";
    const splitQuery = query.includes(";") ? { splitQuery: maskedQuery(query, current, AMPERSAND_OR_SEMICOLON) } : {};
    return { kind: "http", method: request.method, path, query: maskedQuery(query, current), ...splitQuery, upgrade };
  }

  /** Whether rules are about requests. The engine gives the same object for the same answer. */
  #isInspected(connection: Decision): boolean {
    if (connection !== this.#connectionSeen) {
      this.#connectionSeen = connection;
      this.#inspected = !connection.allowed || inspectionOf(connection).inspected;
    }
    return this.#inspected;
  }

  #ask(facts: HttpFacts): RequestDecision {
    const decision = this.#question(facts);
    if (decision.action === "deny" || facts.upgrade === "" || readsMessages(decision)) return decision;
    // Messages pass unread behind the upgrade, so it is allowed only where every message would be.
    const messages = this.#question(textFacts(facts));
    return messages.action === "deny" ? messages : decision;
  }

  #question(request: RequestFacts): RequestDecision {
    const { engine, authority, program } = this.#setup;
    const { host, port } = authority;
    return engine.decideRequest({ host, port, exe: program.exe, ancestors: program.ancestors, request });
  }

  #unruled(request: OriginRequest, body: Buffer | undefined): Ruling {
    const connection = this.#connection();
    const endpoints = connection.allowed ? connection.endpoints.map(({ endpoint }) => endpoint) : [];
    const passed = this.#withoutUnreadUpgrade(pathForCredentials(request), connection, endpoints);
    if (passed.upgrade !== "") messageMask(endpoints, false, this.#setup.credentials);
    const { policy } = this.#setup;
    return this.#prepared(passed, { endpoints, policy }, body, (credentials) => {
      this.#use(request, connection.allowed ? rulesOf(connection.endpoints) : []);
      this.#teller.emit({
        severity: "informational",
        action: "allowed",
        method: request.method,
        url: this.#teller.url(request.path),
        policy,
        engine: "opa",
        ...credentials,
      });
      return undefined;
    });
  }

  /** Where credentials may go every request is seen, so that no other protocol than WebSocket may follow one (threat 23). */
  #withoutUnreadUpgrade(request: OriginRequest, connection: Decision, endpoints: readonly Endpoint[]): OriginRequest {
    if (request.upgrade === "" || request.upgrade === "websocket" || !connection.allowed) return request;
    const { authority, credentials } = this.#setup;
    const plan = planWithCredentials(inspectionOf(connection), endpoints, authority, credentials.current);
    return plan?.opaque === "relay" ? request : { ...request, upgrade: "" };
  }
}

/** A query as rules see it. */
function maskedQuery(query: string, set: CredentialSet, separator?: RegExp): HttpFacts["query"] {
  const read = readQuery(query, separator);
  if (!hasTrace(query)) return read;
  const shown: Record<string, readonly string[]> = Object.create(null);
  for (const [name, values] of Object.entries(read))
    shown[masked(name, set)] = [...(shown[masked(name, set)] ?? []), ...values.map((value) => masked(value, set))];
  return shown;
}

/** Behind an upgrade through this endpoint every message is looked at. */
function readsMessages({ endpoint }: RequestDecision): boolean {
  return endpoint?.protocol === "websocket" || endpoint?.websocketCredentialRewrite === true;
}

function answering(answer: Answer): Ruling {
  return { kind: "answer", answer };
}
