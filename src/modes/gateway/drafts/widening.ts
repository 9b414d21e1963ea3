import { inspectingEndpoints } from "../../../policy/adopt.ts";
import type { Endpoint, NetworkRule, Policy } from "../../../policy/model.ts";
import { unexplained } from "../../../policy/request-evidence.ts";
import type { Chunk, Denial, DenialKey } from "./chunk.ts";
import { MAX_RULES_PER_ENDPOINT } from "./limits.ts";
import { firstRefusal, type Refusal, refuse } from "./refusal.ts";
import { isEnforced } from "./requests.ts";
import { safeText } from "./text.ts";

/**
 * Why a proposal would allow more than was denied: where requests are decided by rules already, only rules that the denied requests explain may
 * be added. `denialOf`: what the gateway holds; that there is one for every key has been asked before.
 */
export function refuseWider(rule: NetworkRule, policy: Policy, denialOf: (key: DenialKey) => Denial | undefined): Refusal | undefined {
  return firstRefusal(
    rule.endpoints.flatMap((endpoint) =>
      endpoint.ports.flatMap((port) =>
        rule.binaries.map(({ path: binary }) => () => {
          const denial = denialOf({ host: endpoint.host, port, binary });
          const existing = inspectingEndpoints(policy, { host: endpoint.host, port, binary, ancestors: denial?.ancestors ?? [] });
          return refuseEndpoint(endpoint, existing, denial);
        }),
      ),
    ),
  );
}

function refuseEndpoint(endpoint: Endpoint, existing: readonly Endpoint[], denial: Denial | undefined): Refusal | undefined {
  const { host, path, protocol, rules } = endpoint;
  if (path !== "" && !existing.some((other) => other.path === path && other.protocol === protocol))
    return refuse("field_not_allowed", "a proposal may not set path, except to one that the policy has for this host");
  if (existing.length === 0) return undefined;
  if (rules.length === 0 || !isEnforced(endpoint))
    return refuse(
      "wider_than_denied",
      `requests to ${host} are decided one by one; only rules for requests that were denied may be proposed`,
    );
  const denied = (denial?.requests ?? []).filter(({ decision }) => decision === "deny");
  const [first] = unexplained(endpoint, denied);
  if (first === undefined) return undefined;
  const what = [first.method, first.path, first.operationType, ...first.fields].filter((word) => word !== "").join(" ");
  return refuse("wider_than_denied", `no request to ${host} was denied that explains a rule for '${what}'`);
}

/** Whether the first proposal names requests that the second does not. */
export function asksMore(one: Pick<Chunk, "rule">, other: Pick<Chunk, "rule">): boolean {
  return one.rule.endpoints.some((endpoint) => {
    const held = new Set(twinOf(endpoint, other.rule)?.rules.map((rule) => JSON.stringify(rule)));
    return endpoint.rules.some((rule) => !held.has(JSON.stringify(rule)));
  });
}

/** Two proposals for the same program and places as one that names the requests of both. */
export function joined(older: Chunk, newer: Chunk): Chunk | Refusal {
  const endpoints = newer.rule.endpoints.map((endpoint) => {
    const rules = [...(twinOf(endpoint, older.rule)?.rules ?? []), ...endpoint.rules];
    return { ...endpoint, rules: [...new Map(rules.map((rule) => [JSON.stringify(rule), rule])).values()] };
  });
  const others = older.rule.endpoints.filter((endpoint) => twinOf(endpoint, newer.rule) === undefined);
  const longest = Math.max(...endpoints.map(({ rules }) => rules.length));
  if (longest > MAX_RULES_PER_ENDPOINT)
    return refuse("over_limit", `with chunk ${older.id} it has ${longest} request rules, at most ${MAX_RULES_PER_ENDPOINT} are accepted`);
  return {
    ...newer,
    rule: { ...newer.rule, endpoints: [...others, ...endpoints] },
    rationale: newer.rationale === older.rationale ? newer.rationale : safeText(`${newer.rationale} ${older.rationale}`).text,
    escaped: older.escaped || newer.escaped,
    hitCount: older.hitCount + newer.hitCount,
    firstSeen: Math.min(older.firstSeen, newer.firstSeen),
  };
}

/** The endpoint of a rule that is about the same place, inspected alike. */
function twinOf({ host, ports, protocol, path }: Endpoint, rule: NetworkRule): Endpoint | undefined {
  return rule.endpoints.find(
    (other) => other.host === host && other.protocol === protocol && other.path === path && other.ports.join() === ports.join(),
  );
}
