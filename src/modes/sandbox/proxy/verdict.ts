import { isIP } from "node:net";
import type { Decision, DenyCode, Inspection, MatchedEndpoint } from "../../../engine/decision.ts";
import { inspectionOf } from "../../../engine/inspection.ts";
import { OpenShellError } from "../../../error.ts";
import type { DecisionEngineName, DenialStage } from "../../../events/event.ts";
import type { Identification, ProgramIdentity } from "../box/contract.ts";
import { planWithCredentials } from "../credentials/connection-plan.ts";
import { type Unroutable, unroutable } from "./capture/unroutable.ts";
import { checkDestination, type DestinationVerdict } from "./destination/permission.ts";
import type { EgressContext } from "./egress-context.ts";
import { hostPort, type Intent } from "./intent.ts";
import type { LocalService } from "./local-service.ts";
import { type ReservedAnswer, reservedAnswer } from "./reserved-names.ts";
import { checkProxied } from "./upstream-proxy/permission.ts";
import type { UpstreamProxy } from "./upstream-proxy/upstream-proxy.ts";

/** What was decided about one connection: where it may go, or how it is refused. */
export type Verdict =
  | {
      readonly allowed: true;
      readonly policy: string;
      readonly endpoints: readonly MatchedEndpoint[];
      readonly addresses: readonly string[];
      readonly sha256: string;
      /** What is to be done with what passes. */
      readonly plan: Inspection;
      /** Takes the place of a server. */
      readonly local?: LocalService;
      /** What the addresses are dialled through; one of them may be a name then. */
      readonly via?: UpstreamProxy;
    }
  | Denied;

export interface Denied {
  readonly allowed: false;
  readonly status: number;
  readonly error: string;
  /** For the log. */
  readonly reason: string;
  /** For the client; the reason when absent. */
  readonly detail?: string;
  /** Machine code. */
  readonly code: string;
  readonly engine: DecisionEngineName;
  /** Absent: not a denial that a rule could change. */
  readonly stage?: DenialStage;
  readonly policy?: string;
  readonly address?: string;
  /** The network failed, not the policy. */
  readonly failed?: boolean;
  /** No rule is about this destination for this program; one could be. */
  readonly uncovered?: true;
  readonly next: string;
}

const NEXT_POLICY =
  "A proposal for this program and destination is made for review. Ask the person who owns the sandbox to look at: openshell sandbox draft";
const NEXT_ADDRESS = "Private addresses need allowed_ips in the policy or --trusted-cidr. Ask the person who owns the sandbox.";
const NEXT_CREDENTIALS =
  "Ask the person who owns the sandbox to take tls: skip out of the policy, or to say allow_uninspected_credentials: true there.";
const NEXT_IDENTITY = "Open a new connection from the program itself and send the request on it.";
const NEXT_INTEGRITY = "The executable is not the one that was first used. Recreate the sandbox if the change is wanted.";
const NEXT_NETWORK = "Check the name and try again.";

const UNCOVERED: ReadonlySet<DenyCode> = new Set(["no_policies", "host_not_allowed", "port_not_allowed", "binary_not_allowed"]);

type Allowed = Extract<Verdict, { allowed: true }>;
type Allow = Extract<Decision, { allowed: true }>;

/**
 * Identity, policy, trust on first use, addresses: in this order, so that a denied name is never asked of DNS and a denied program is
 * never hashed. Answers at once when nothing has to be waited for.
 */
export function judge(intent: Intent, who: Identification, context: EgressContext): Verdict | Promise<Verdict> {
  if (!who.known) return unidentified(who);
  try {
    const verdict = judgeProgram(intent, who.program, context);
    return verdict instanceof Promise ? verdict.catch(undecided) : verdict;
  } catch (error) {
    return undecided(error);
  }
}

function judgeProgram(intent: Intent, program: ProgramIdentity, context: EgressContext): Verdict | Promise<Verdict> {
  const elsewhere = intent.stage === "bypass" ? unroutable(intent.authority.host) : standingFor(intent, context);
  if (elsewhere !== undefined) return unroutableDenial(elsewhere);
  const local = localVerdict(intent, context);
  if (local !== undefined) return local;
  const reserved = reservedAnswer(intent.authority, context.controlPlane?.authority);
  if (reserved !== undefined) return reservedName(reserved);
  const decision = decide(intent, program, context);
  if (!decision.allowed) return policyDenial(intent, decision);
  const trust = context.trust.check(program);
  if (trust instanceof Promise) return judgeSlowly(intent, program, context);
  if (!trust.trusted) return integrity(decision, trust.reason);
  const addresses = withoutQuestion(intent, context);
  if (addresses === undefined) return judgeSlowly(intent, program, context);
  return atAddresses(intent, decision, addresses, trust.sha256, context);
}

/** An address that only stands for a name, in a request that names it as its server: no server would know it. */
function standingFor({ authority: { host } }: Intent, { names }: EgressContext): Unroutable | undefined {
  const name = names?.nameOf(host);
  return name === undefined ? undefined : { code: "unknown_name", reason: `${host} stands for ${name} here, and only in place of it` };
}

/** As `judge`, with waiting. The policy may change meanwhile, so the decision is taken again at the end, on the same program and name. */
async function judgeSlowly(intent: Intent, program: ProgramIdentity, context: EgressContext): Promise<Verdict> {
  const before = decide(intent, program, context);
  if (!before.allowed) return policyDenial(intent, before);
  const trust = await context.trust.check(program);
  if (!trust.trusted) return integrity(before, trust.reason);
  // Resolving is a question to the outside: policy must still allow the name at this moment.
  const still = decide(intent, program, context);
  if (!still.allowed) return policyDenial(intent, still);
  let addresses: readonly string[];
  try {
    addresses = withoutQuestion(intent, context) ?? (await context.resolver.resolve(intent.authority.host));
  } catch (error) {
    return unresolved(intent, still, error instanceof Error ? error.message : String(error));
  }
  const decision = decide(intent, program, context);
  if (!decision.allowed) return policyDenial(intent, decision);
  return atAddresses(intent, decision, addresses, trust.sha256, context);
}

/** Whether an established connection would be permitted now. */
export function stillPermitted(intent: Intent, program: ProgramIdentity, address: string, context: EgressContext): Verdict {
  try {
    const local = localVerdict(intent, context);
    if (local !== undefined) return local;
    const decision = decide(intent, program, context);
    if (!decision.allowed) return policyDenial(intent, decision);
    return atAddresses(intent, decision, [address], "", context);
  } catch (error) {
    return undecided(error);
  }
}

/** What we answer ourselves is no matter of policy: that there is something to answer is the permission. */
function localVerdict({ authority }: Intent, { inference }: EgressContext): Allowed | undefined {
  if (inference?.serves(authority) !== true) return undefined;
  return { allowed: true, policy: "-", endpoints: [], addresses: [], sha256: "", plan: EVERY_REQUEST, local: inference };
}

const EVERY_REQUEST: Inspection = { inspected: true, protocols: ["rest"], tls: "terminate", opaque: "refuse" };

function decide(intent: Intent, program: ProgramIdentity, context: EgressContext): Decision {
  const { host, port } = intent.authority;
  return context.engine.decide({ host, port, exe: program.exe, ancestors: program.ancestors });
}

/** Addresses that nobody has to be asked for; a name itself where the upstream proxy is to resolve it. */
function withoutQuestion({ authority }: Intent, { upstreamProxy, resolver }: EgressContext): readonly string[] | undefined {
  const { host } = authority;
  return upstreamProxy?.takes(authority) === true ? (resolver.offline(host) ?? [host]) : resolver.known(host);
}

function atAddresses(intent: Intent, decision: Allow, addresses: readonly string[], sha256: string, context: EgressContext): Verdict {
  const { host, port } = intent.authority;
  const { upstreamProxy, destinations } = context;
  const via = upstreamProxy?.takes(intent.authority) === true ? upstreamProxy : undefined;
  const itself = [host, ...addresses].find((end) => upstreamProxy?.is(end, port));
  const unknown = via !== undefined && addresses.some((address) => isIP(address) === 0);
  const verdict =
    itself !== undefined
      ? proxyItself(host, itself)
      : unknown
        ? checkProxied(host, decision.endpoints)
        : checkDestination(host, port, addresses, decision.endpoints, destinations);
  if (!verdict.permitted) return addressDenial(intent, decision, verdict);
  const { policy, endpoints } = decision;
  const settings = endpoints.map(({ endpoint }) => endpoint);
  const plan = planWithCredentials(inspectionOf(decision), settings, intent.authority, context.credentials.current);
  if (plan === undefined) return uninspectedCredentials(intent, decision);
  return { allowed: true, policy, endpoints, addresses, sha256, plan, ...(via && { via }) };
}

/** Through a proxy everything could be reached, whatever the policy says. */
function proxyItself(host: string, address: string): DestinationVerdict & { permitted: false } {
  return { permitted: false, code: "own_address", address, reason: `${host} is the upstream proxy itself, connection rejected` };
}

function what(intent: Intent): string {
  return `${intent.method} ${hostPort(intent.authority)}${intent.path ?? ""}`;
}

function unidentified(who: Identification & { known: false }): Denied {
  return {
    allowed: false,
    status: 403,
    error: "identity_denied",
    reason: who.reason,
    code: who.code,
    engine: "identity",
    next: NEXT_IDENTITY,
  };
}

/** A fault of ours is a refusal. */
function undecided(error: unknown): Denied {
  const reason = `the connection could not be decided: ${OpenShellError.from(error).message}`;
  return { allowed: false, status: 503, error: "undecided", reason, code: "internal", engine: "opa", next: NEXT_NETWORK };
}

/** What passes unread on an open connection may pass no more: new rules are about requests. */
export function nowInspected(policy: string): Denied {
  return {
    allowed: false,
    status: 403,
    error: "policy_denied",
    reason: `the rules of policy '${policy}' are about requests now, and this connection carries something else`,
    code: "unsupported_l7_protocol",
    engine: "l7",
    policy,
    next: NEXT_POLICY,
  };
}

/** An address that means nothing outside the box: neither policy nor a proposal is about it. */
function unroutableDenial({ code, reason }: Unroutable): Denied {
  return { allowed: false, status: 403, error: "ssrf_denied", reason, code, engine: "bypass", stage: "bypass", next: NEXT_ADDRESS };
}

function reservedName(answer: ReservedAnswer): Denied {
  const { status, error, engine, detail, next } = answer;
  return { allowed: false, status, error, reason: detail, code: error, engine, next };
}

function policyDenial(intent: Intent, decision: Decision & { allowed: false }): Denied {
  return {
    allowed: false,
    status: 403,
    error: "policy_denied",
    reason: decision.reason,
    detail: `${what(intent)} not permitted by policy: ${decision.reason}`,
    code: decision.code,
    engine: "opa",
    stage: intent.stage,
    ...(UNCOVERED.has(decision.code) && { uncovered: true }),
    next: NEXT_POLICY,
  };
}

function integrity(decision: Allow, reason: string): Denied {
  return {
    allowed: false,
    status: 403,
    error: "integrity_denied",
    reason,
    code: "binary_integrity",
    engine: "identity",
    policy: decision.policy,
    next: NEXT_INTEGRITY,
  };
}

function addressDenial(intent: Intent, decision: Allow, verdict: DestinationVerdict & { permitted: false }): Denied {
  return {
    allowed: false,
    status: 403,
    error: "ssrf_denied",
    reason: verdict.reason,
    detail: `${what(intent)} blocked: ${verdict.reason}`,
    code: verdict.code,
    engine: "ssrf",
    stage: "ssrf",
    policy: decision.policy,
    address: verdict.address,
    next: NEXT_ADDRESS,
  };
}

/** Requests that may carry credentials would pass unread. */
function uninspectedCredentials(intent: Intent, decision: Allow): Denied {
  return {
    allowed: false,
    status: 403,
    error: "uninspected_credentials",
    reason: `credentials may go to ${hostPort(intent.authority)}, and its policy has tls: skip, so that requests cannot be seen`,
    code: "uninspected_credentials",
    engine: "credentials",
    policy: decision.policy,
    next: NEXT_CREDENTIALS,
  };
}

function unresolved(intent: Intent, decision: Allow, problem: string): Denied {
  return {
    allowed: false,
    status: 502,
    error: "upstream_unreachable",
    reason: `DNS resolution failed for ${hostPort(intent.authority)}: ${problem}`,
    code: "resolution_failed",
    engine: "ssrf",
    policy: decision.policy,
    failed: true,
    next: NEXT_NETWORK,
  };
}

/** No address of the host answered. */
export function unreachable(intent: Intent, policy: string, address: string, problem: string): Denied {
  return {
    allowed: false,
    status: 502,
    error: "upstream_unreachable",
    reason: `connection to ${hostPort(intent.authority)} failed: ${problem}`,
    code: "dial_failed",
    engine: "opa",
    policy,
    address,
    failed: true,
    next: NEXT_NETWORK,
  };
}
