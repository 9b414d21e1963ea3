import type { HttpFacts, RequestDecision } from "../../../../engine/decision.ts";
import type { Actor, EventSink, FindingEvent, HttpEvent, RequestAsked } from "../../../../events/event.ts";
import type { ProgramIdentity } from "../../box/contract.ts";
import type { Credentials } from "../../credentials/model.ts";
import { maskedPath } from "../../credentials/placeholder.ts";
import type { CredentialRefused } from "../../credentials/refused.ts";
import type { Authority } from "../http1/authority.ts";
import { hostField } from "../http1/origin-form.ts";
import type { OriginRequest } from "../http1/origin-request.ts";
import type { Refusal } from "../http1/refused.ts";
import { UNSOLICITED_UPGRADE } from "../http1/response-reader.ts";
import { actorOf } from "../identity.ts";
import { refusalAnswer } from "../refusal.ts";
import type { Answer, StreamInspector } from "./ruling.ts";

/** Stands for the method where none could be read. */
const UNREADABLE = "-";

const NEXT_REQUEST =
  "Use a request that the policy allows. A proposal for this one is made for review: ask the person who owns the sandbox to look at: openshell sandbox draft";
const NEXT_DENY_RULE = "A deny rule refuses this request; no proposal can change that. Ask the person who owns the sandbox.";
export const NEXT_READABLE = "Send a well-formed HTTP/1.1 request for this host.";
const NEXT_NETWORK = "Check the server and try again.";
const NEXT_CREDENTIAL =
  "Use the placeholder as it stands in the environment, where its provider expects it, for a server of that provider. Ask the person who owns the sandbox.";
export const NEXT_BODY =
  "Send the body as plain JSON (Content-Type: application/json, UTF-8, not compressed), each name once, within the limit.";

export interface TellerSetup {
  readonly emit: EventSink;
  readonly authority: Authority;
  readonly scheme: "http" | "https";
  readonly program: ProgramIdentity;
  readonly sha256: string;
  /** Of the connection. */
  readonly policy: string;
  /** What placeholders in requests stand for. */
  readonly credentials: Credentials;
}

/** What one connection's requests come to, told to its client in answers and to everybody else in events. */
export class RequestTeller {
  readonly #setup: TellerSetup;
  /** Every event names them. */
  readonly #actor: Actor;
  readonly #origin: string;

  constructor(setup: TellerSetup) {
    const { program, sha256, authority, scheme } = setup;
    this.#setup = setup;
    this.#actor = actorOf(program, sha256);
    this.#origin = `${scheme}://${hostField(authority, scheme)}`;
  }

  /** A request under way that may not go on. */
  ended(method: string, path: string, why: { readonly code?: string; readonly reason: string }): void {
    this.emit({ severity: "low", action: "denied", method, url: this.url(path), engine: "l7", ...codeAndReason(why) });
  }

  /** The answer to a request that could not be read. */
  unreadable(refusal: Refusal): Answer {
    this.emit({ severity: "low", action: "denied", method: UNREADABLE, url: this.url(""), engine: "l7", ...codeAndReason(refusal) });
    return this.#answer(refusal.status, "bad_request", refusal.reason, refusal.code, NEXT_READABLE, undefined);
  }

  /** The server's fault: the answer to the client, and the event. */
  badGateway(problem: string): Answer {
    const { emit, authority, policy } = this.#setup;
    const { host, port } = authority;
    const about = { time: Date.now(), host, port, actor: this.#actor, policy };
    if (problem === UNSOLICITED_UPGRADE) emit(unsolicitedUpgrade(about));
    else
      emit({
        ...about,
        kind: "network",
        severity: "low",
        activity: "fail",
        action: "allowed",
        protocol: "tcp",
        engine: "tls",
        code: "upstream_failed",
        reason: problem,
      });
    return this.#answer(502, "upstream_unreachable", problem, "upstream_failed", NEXT_NETWORK, undefined);
  }

  /** From here on there are no requests: bytes pass unread, or the inspector decides about messages. */
  switched({ method, path, upgrade }: OriginRequest, inspector: StreamInspector | undefined): void {
    const goesOn = inspector === undefined ? "requests are no longer decided" : "each message is decided";
    const reason = `101 Switching Protocols: bytes pass as ${upgrade} from here on, ${goesOn}`;
    this.emit({
      severity: "informational",
      action: "allowed",
      method,
      url: this.url(path),
      policy: this.#setup.policy,
      engine: "l7",
      reason,
    });
  }

  /** A rule refuses it, or none allows it. */
  denied(facts: HttpFacts, decision: RequestDecision): Answer {
    const code = decision.code ?? "request_not_allowed";
    this.emit({
      severity: "medium",
      action: "denied",
      method: facts.method,
      url: this.url(facts.path),
      engine: "l7",
      stage: "l7_deny",
      code,
      reason: decision.reason,
      ...(decision.policy === undefined ? {} : { policy: decision.policy }),
      asked: askedOf(facts, decision),
    });
    const next = code === "request_denied" ? NEXT_DENY_RULE : NEXT_REQUEST;
    return this.#answer(403, "policy_denied", decision.reason, code, next, { ...facts, decision });
  }

  /** No rule is about it, so that no proposal follows: only the program or the person who attached the credential can change it. */
  withoutCredential({ status, code, message }: CredentialRefused, request: OriginRequest): Answer {
    const { method, path } = request;
    const { policy } = this.#setup;
    const said = { method, url: this.url(path), policy, engine: "credentials", code, reason: message } as const;
    this.emit({ severity: "medium", action: "denied", ...said });
    return this.#answer(status, code, message, code, NEXT_CREDENTIAL, { method, path, policy });
  }

  /** It cannot be decided as it is. */
  refused(
    refusal: { status: number; code: string; reason: string },
    request: OriginRequest,
    next = NEXT_READABLE,
    policy?: string,
  ): Answer {
    this.emit({
      severity: "low",
      action: "denied",
      method: request.method,
      url: this.url(request.path),
      engine: "l7",
      ...(policy === undefined ? {} : { policy }),
      ...codeAndReason(refusal),
    });
    const { method, path } = request;
    return this.#answer(refusal.status, "bad_request", refusal.reason, refusal.code, next, { method, path, policy });
  }

  #answer(status: number, error: string, detail: string, reason: string, next: string, asked: Asked | undefined): Answer {
    const { authority, program, credentials } = this.#setup;
    const { method, path, decision, policy = decision?.policy } = asked ?? {};
    return refusalAnswer({
      status,
      error,
      detail,
      layer: "l7",
      authority,
      method,
      path: path === undefined ? undefined : maskedPath(path, credentials.current),
      protocol: decision?.endpoint?.protocol,
      binary: program.exe,
      policy,
      reason,
      ruleMissing: decision?.ruleMissing,
      nextSteps: [next],
    });
  }

  emit(event: Omit<HttpEvent, "kind" | "time" | "host" | "port" | "actor">): void {
    const { emit, authority } = this.#setup;
    const { host, port } = authority;
    emit({ kind: "http", time: Date.now(), host, port, actor: this.#actor, ...event });
  }

  /** As logs show it. */
  url(path: string): string {
    return this.#origin + maskedPath(path, this.#setup.credentials.current);
  }
}

/** What a refusal says of its request. */
interface Asked extends Pick<OriginRequest, "method" | "path"> {
  readonly decision?: RequestDecision;
  readonly policy?: string | undefined;
}

/** For whoever proposes rules: what it would take beside method and path. */
function askedOf({ upgrade, graphql, rpc }: HttpFacts, { endpoint, code }: RequestDecision): RequestAsked {
  const { protocol, path: selector } = (code === "path_not_covered" ? undefined : endpoint) ?? { protocol: "", path: "" };
  return { protocol, selector, ...(upgrade !== "" && { upgrade }), ...(graphql && { graphql }), ...(rpc && { rpc }) };
}

function unsolicitedUpgrade(about: { time: number; host: string; port: number; actor: Actor }): FindingEvent {
  const { time, host, port, actor } = about;
  return {
    kind: "finding",
    time,
    severity: "medium",
    id: "unsolicited-101-upgrade",
    title: "A server switched protocols without being asked; the connection was closed",
    evidence: { host, port: String(port), binary: actor.binary },
  };
}

/** As events have them. */
export function codeAndReason({ code, reason }: { readonly code?: string; readonly reason: string }): { code?: string; reason: string } {
  return code === undefined ? { reason } : { code, reason };
}
