import type { Endpoint, NetworkRule, RequestRule } from "../../../policy/model.ts";
import { ruleFromProto } from "../../../policy/proto.ts";
import { observedAs, PROPOSABLE_METHODS } from "../../../policy/request-evidence.ts";
import { validatePolicy } from "../../../policy/validate.ts";
import { hasGraphqlFields } from "../../../policy/validate-rules.ts";
import type { NetworkPolicyRule } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import type { AnalysisMode, ChunkStage } from "./chunk.ts";
import { type OwnEndpoint, refuseAllowedIp, refuseDestination } from "./destination.ts";
import { isPlainHost } from "./host.ts";
import { baseName } from "./known.ts";
import {
  MAX_BINARIES_PER_CHUNK,
  MAX_BINARY_LENGTH,
  MAX_ENDPOINTS_PER_CHUNK,
  MAX_HOST_LENGTH,
  MAX_PORTS_PER_ENDPOINT,
  MAX_RULE_NAME_LENGTH,
  MAX_RULES_PER_ENDPOINT,
} from "./limits.ts";
import { firstRefusal, type Refusal, refuse } from "./refusal.ts";
import { isPrintable, PATTERN_CHARACTERS, safeText } from "./text.ts";

/** What a rule is judged against; all of it is the gateway's own knowledge. */
export interface ProposalFacts {
  readonly stage: ChunkStage;
  readonly mode: AnalysisMode;
  readonly ownEndpoint: OwnEndpoint;
  readonly trustedCidrs: readonly string[];
}

/** Rule names are keys of a map that people type and read. */
const RULE_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;

/**
 * Reads a proposed rule, or says why it is not one that a sandbox may propose. What it returns names exact hosts, ports and
 * programs only, can only add, and matches the executable alone.
 */
export function readProposal(ruleName: string, proposed: NetworkPolicyRule | undefined, facts: ProposalFacts): NetworkRule | Refusal {
  if (!proposed) return refuse("bad_schema", "proposed_rule is missing");
  const early = refuseName(ruleName) ?? refuseSizes(proposed) ?? refuseWireText(proposed);
  if (early) return early;
  const rule = toModel(ruleName, proposed);
  return "code" in rule ? rule : (refuseRule(rule, facts) ?? rule);
}

/** Whether the answer of `readProposal` is a refusal. */
export function isRefusal(answer: NetworkRule | Refusal): answer is Refusal {
  return "code" in answer;
}

function refuseName(ruleName: string): Refusal | undefined {
  if (ruleName.length > MAX_RULE_NAME_LENGTH) {
    return refuse("over_limit", `rule_name has ${ruleName.length} characters, at most ${MAX_RULE_NAME_LENGTH} are accepted`);
  }
  if (!RULE_NAME.test(ruleName))
    return refuse("bad_schema", "rule_name must be letters, digits, '_', '-' and '.', beginning with a letter or digit");
  return undefined;
}

function refuseSizes(rule: NetworkPolicyRule): Refusal | undefined {
  const count = (what: string, size: number, most: number): Refusal | undefined => {
    if (size === 0) return refuse("bad_schema", `proposed_rule names no ${what}`);
    return size > most ? refuse("over_limit", `proposed_rule names ${size} ${what}, at most ${most} are accepted`) : undefined;
  };
  return firstRefusal([
    () => count("endpoints", rule.endpoints.length, MAX_ENDPOINTS_PER_CHUNK),
    () => count("binaries", rule.binaries.length, MAX_BINARIES_PER_CHUNK),
    ...rule.endpoints.flatMap((endpoint) => [
      () => count("ports", endpoint.ports.length || Number(endpoint.port > 0), MAX_PORTS_PER_ENDPOINT),
      () => (endpoint.rules.length > 0 ? count("request rules", endpoint.rules.length, MAX_RULES_PER_ENDPOINT) : undefined),
      () => (endpoint.host.length > 0 ? count("characters of a host", endpoint.host.length, MAX_HOST_LENGTH) : undefined),
    ]),
    ...rule.binaries.map((binary) => () => count("characters of a path", binary.path.length, MAX_BINARY_LENGTH)),
  ]);
}

/** Looks at the text as it came, before any normalisation could hide what was in it. */
function refuseWireText(rule: NetworkPolicyRule): Refusal | undefined {
  for (const [what, text] of [
    ...rule.endpoints.map((e) => ["host", e.host] as const),
    ...rule.binaries.map((b) => ["binary", b.path] as const),
  ]) {
    if (!isPrintable(text)) return refuse("not_printable", `${what} holds characters outside printable ASCII`);
    if (PATTERN_CHARACTERS.test(text))
      return refuse("pattern_character", `${what} ${text} holds a pattern character; proposals name exact things`);
  }
  return undefined;
}

function toModel(ruleName: string, proposed: NetworkPolicyRule): NetworkRule | Refusal {
  try {
    const rule = ruleFromProto(proposed, ruleName);
    // A proposal is about the program that was denied, never about what it starts (decision 18, threat 07).
    return { ...rule, name: ruleName, binaries: rule.binaries.map(({ path }) => ({ path, selfOnly: true })) };
  } catch (error) {
    return refuse("bad_schema", error instanceof Error ? error.message : "proposed_rule cannot be read");
  }
}

function refuseRule(rule: NetworkRule, facts: ProposalFacts): Refusal | undefined {
  return firstRefusal([
    ...rule.binaries.map(
      ({ path }) =>
        () =>
          refuseBinary(path),
    ),
    ...rule.endpoints.flatMap((endpoint) => [
      () =>
        isPlainHost(endpoint.host) ? undefined : refuse("bad_schema", `host '${endpoint.host}' is neither a plain name nor an address`),
      () => refuseDestination(endpoint, facts.ownEndpoint),
      () => refuseFields(endpoint, facts),
      () => endpoint.allowedIps.map((entry) => refuseAllowedIp(entry, facts.trustedCidrs)).find((refusal) => refusal !== undefined),
      () => refuseRequests(endpoint, facts),
    ]),
    () => refuseInvalid(rule),
  ]);
}

function refuseBinary(path: string): Refusal | undefined {
  const segments = path.split("/");
  if (
    !path.startsWith("/") ||
    path.endsWith("/") ||
    segments.slice(1).some((segment) => segment === "" || segment === "." || segment === "..")
  ) {
    return refuse("bad_schema", `binary '${path}' is not a normalised absolute path`);
  }
  return baseName(path) === "openshell" ? refuse("own_executable", "no rule may match the openshell executable") : undefined;
}

/** Endpoint fields that weaken inspection or move credentials are for people to write. */
function refuseFields(endpoint: Endpoint, { mode }: ProposalFacts): Refusal | undefined {
  if (!isPrintable(endpoint.path)) return refuse("not_printable", "path holds characters outside printable ASCII");
  if (endpoint.denyRules.length > 0) return refuse("not_additive", "deny_rules would take away what the policy allows");
  const set: [string, boolean][] = [
    ["tls", endpoint.tls !== ""],
    ["allow_encoded_slash", endpoint.allowEncodedSlash],
    ["websocket_credential_rewrite", endpoint.websocketCredentialRewrite],
    ["request_body_credential_rewrite", endpoint.requestBodyCredentialRewrite],
    ["allow_uninspected_credentials", endpoint.allowUninspectedCredentials],
    ["credential_signing", endpoint.credentialSigning !== "" || endpoint.signingService !== "" || endpoint.signingRegion !== ""],
    ["credential_binding", endpoint.credentialBinding !== undefined],
    ["provider_credentialed", endpoint.providerCredentialed],
    ["advisor_proposed", endpoint.advisorProposed],
    ["allowed_ips", mode === "agent_authored" && endpoint.allowedIps.length > 0],
  ];
  const found = set.filter(([, isSet]) => isSet).map(([field]) => field);
  return found.length > 0 ? refuse("field_not_allowed", `a proposal may not set ${found.join(", ")}`) : undefined;
}

function refuseRequests(endpoint: Endpoint, facts: ProposalFacts): Refusal | undefined {
  for (const rule of endpoint.rules) {
    const http = endpoint.protocol === "rest" || (endpoint.protocol === "websocket" && !hasGraphqlFields(rule));
    if (http && !PROPOSABLE_METHODS.has(rule.method)) {
      return refuse("pattern_character", `method '${safeText(rule.method, 64).text}' is not one of ${[...PROPOSABLE_METHODS].join(", ")}`);
    }
    const refusal = refuseRequestText(rule) ?? refuseTemplate(rule.path, facts);
    if (refusal) return refusal;
    if (observedAs(endpoint.protocol, rule) === undefined)
      return refuse(
        "wider_than_denied",
        `a request rule of protocol ${endpoint.protocol} does not say one thing that could have been denied`,
      );
  }
  return undefined;
}

function refuseRequestText(rule: RequestRule): Refusal | undefined {
  const matchers = [...Object.entries(rule.query), ...Object.entries(rule.params)];
  const exact = [rule.method, rule.command, rule.operationType, rule.operationName, ...rule.fields];
  const texts = [...exact, ...matchers.flatMap(([name, matcher]) => [name, ...("glob" in matcher ? [matcher.glob] : matcher.any)])];
  for (const text of [...texts, rule.path])
    if (!isPrintable(text)) return refuse("not_printable", "a request rule holds characters outside printable ASCII");
  const bad = texts.find((text) => PATTERN_CHARACTERS.test(text));
  return bad === undefined
    ? undefined
    : refuse("pattern_character", `request rule: '${bad}' holds a pattern character; proposals name exact things`);
}

/** A refined rule may declare a template: `*` as a whole segment, `**` as the tail below two fixed segments (advisor.md, "Stage 2"). */
function refuseTemplate(path: string, { stage, mode }: ProposalFacts): Refusal | undefined {
  if (path === "") return undefined;
  if (!path.startsWith("/")) return refuse("bad_schema", `request path '${path}' does not begin with '/'`);
  if (!PATTERN_CHARACTERS.test(path)) return undefined;
  const segments = path.slice(1).split("/");
  const fixed = segments.filter((segment) => segment !== "" && !PATTERN_CHARACTERS.test(segment)).length;
  const wholeSegments = segments.every(
    (segment, index) =>
      !PATTERN_CHARACTERS.test(segment) || segment === "*" || (segment === "**" && index === segments.length - 1 && fixed >= 2),
  );
  if (stage === "refined" && mode !== "agent_authored" && wholeSegments && fixed > 0) return undefined;
  return refuse("pattern_character", `request path '${path}' holds pattern characters where a proposal may not have any`);
}

function refuseInvalid(rule: NetworkRule): Refusal | undefined {
  const violations = validatePolicy({ version: 1, networkPolicies: { [rule.name]: rule } });
  return violations.length > 0
    ? refuse("bad_schema", violations.map(({ field, message }) => `${field}: ${message}`).join("; "))
    : undefined;
}
