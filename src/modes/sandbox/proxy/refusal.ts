import type { RuleMissing } from "../../../engine/decision.ts";
import { escapeWord } from "../../../events/escape.ts";
import type { Identification } from "../box/contract.ts";
import { answerBytes } from "./http1/answer.ts";
import type { Authority } from "./http1/authority.ts";
import { type Answer, ownField } from "./inspect/ruling.ts";
import type { Intent } from "./intent.ts";
import type { Denied } from "./verdict.ts";

/** Everything a denied agent learns; one shape for every layer. */
export interface Refusal {
  readonly status: number;
  /** Kind of refusal: `policy_denied`, `ssrf_denied`, `bad_request`, … */
  readonly error: string;
  /** For people. */
  readonly detail: string;
  readonly layer: "l4" | "l7";
  /** Absent when the request could not be read. */
  readonly authority?: Authority | undefined;
  readonly method?: string | undefined;
  readonly path?: string | undefined;
  /** What the rules are about: `rest`, … */
  readonly protocol?: string | undefined;
  /** Absent when the program is not known. */
  readonly binary?: string | undefined;
  readonly policy?: string | undefined;
  /** Machine code. */
  readonly reason: string;
  readonly resolvedIps?: readonly string[] | undefined;
  /** The rule that would have allowed it. */
  readonly ruleMissing?: RuleMissing | undefined;
  readonly nextSteps: readonly string[];
}

const READABLE_REQUEST = "Send CONNECT host:port, or an absolute http:// URL, as HTTP/1.1 with one matching Host field.";
const FEWER_CONNECTIONS = "Close idle connections and try again.";

/** The answer to a request that was read and refused. */
export function refusalOf(intent: Intent, who: Identification, denied: Denied): Buffer {
  return refusalResponse({
    status: denied.status,
    error: denied.error,
    detail: denied.detail ?? denied.reason,
    layer: "l4",
    authority: intent.authority,
    method: intent.method,
    path: intent.path,
    binary: who.known ? who.program.exe : undefined,
    policy: denied.policy,
    reason: denied.code,
    resolvedIps: denied.address === undefined ? undefined : [denied.address],
    ruleMissing: denied.uncovered === true ? ruleMissing(intent, who) : undefined,
    nextSteps: [denied.next],
  });
}

/** As for requests inside a connection, with what is known before there is one. */
function ruleMissing({ method, path = "", authority: { host, port } }: Intent, who: Identification): RuleMissing {
  return { type: "network_allow", layer: "l4", method, path, host, port, binary: who.known ? who.program.exe : "" };
}

/** The answer to a request that could not be read, or that there was no room for. */
export function unreadRefusal(status: number, code: string, detail: string, who: Identification): Buffer {
  const full = status === 503;
  return refusalResponse({
    status,
    error: full ? "too_many_connections" : "bad_request",
    detail,
    layer: "l4",
    binary: who.known ? who.program.exe : undefined,
    reason: code,
    nextSteps: [full ? FEWER_CONNECTIONS : READABLE_REQUEST],
  });
}

/** A whole HTTP/1.1 response that closes the connection. The answer to HEAD has no body. */
export function refusalResponse(refusal: Refusal): Buffer {
  return answerBytes(refusalAnswer(refusal), refusal.method, true);
}

/** The refusal before it has the form of a protocol version. */
export function refusalAnswer(refusal: Refusal): Answer {
  const policy = refusal.policy === undefined ? "-" : escapeWord(refusal.policy);
  return {
    status: refusal.status,
    fields: [ownField("Content-Type", "application/json"), ownField("X-OpenShell-Policy", policy)],
    body: Buffer.from(`${JSON.stringify(refusalBody(refusal))}\n`),
    close: true,
  };
}

function refusalBody(refusal: Refusal): object {
  return {
    error: refusal.error,
    detail: refusal.detail,
    layer: refusal.layer,
    protocol: refusal.protocol,
    host: refusal.authority?.host ?? "",
    port: refusal.authority?.port ?? 0,
    method: refusal.method,
    path: refusal.path,
    binary: refusal.binary ?? "",
    policy: refusal.policy,
    reason: refusal.reason,
    resolved_ips: refusal.resolvedIps,
    rule_missing: refusal.ruleMissing,
    next_steps: refusal.nextSteps,
  };
}
