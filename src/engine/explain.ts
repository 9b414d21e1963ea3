import type { Policy } from "../policy/model.ts";
import type { ConnectionQuery, Decision, DenyCode } from "./decision.ts";
import { PolicyEngine, type PolicyEngineOptions } from "./policy-engine.ts";

/** Why a connection is allowed, or what it lacks. */
export interface Explanation {
  readonly decision: Decision;
  /** Allowed: which program the rules matched, the executable or one of its parents. */
  readonly via?: { readonly program: "executable" | "ancestor"; readonly path: string };
  /** Refused: the first thing that no rule offers. */
  readonly missing?: "policy" | "host" | "port" | "binary" | "input";
  /** Sentences for people, the answer first. */
  readonly lines: readonly string[];
}

/**
 * Decides one connection under a policy and says why. Every statement comes from the rules themselves, by asking them again with less.
 * @throws OpenShellError when the policy is invalid.
 */
export function explainConnection(policy: Policy, query: ConnectionQuery, options: PolicyEngineOptions = {}): Explanation {
  const engine = new PolicyEngine(options);
  engine.load(policy);
  const decision = engine.decide(query);
  const endpoint = `${query.host.includes(":") ? `[${query.host}]` : query.host}:${query.port}`;
  if (!decision.allowed) {
    const { missing, hint } = lack(decision.code, query, options.ownExecutables ?? []);
    return { decision, missing, lines: [`not allowed: ${decision.reason}`, hint] };
  }
  const via = matchedProgram(engine, query);
  const lines = [
    `allowed: ${query.exe} may connect to ${endpoint} by rule '${decision.policy}'`,
    `matching endpoints: ${decision.endpoints.map(({ id }) => id).join(", ")}`,
    via.program === "executable"
      ? `the executable ${via.path} matches, whoever controls its environment or arguments acts as it`
      : `the ancestor ${via.path} matches: rules without self_only cover every program that it starts`,
  ];
  return { decision, via, lines };
}

function matchedProgram(engine: PolicyEngine, query: ConnectionQuery): NonNullable<Explanation["via"]> {
  const alone = (exe: string) => engine.decide({ ...query, exe, ancestors: [] }).allowed;
  if (alone(query.exe)) return { program: "executable", path: query.exe };
  const path = query.ancestors.find(alone);
  return path === undefined ? { program: "executable", path: query.exe } : { program: "ancestor", path };
}

function lack(
  code: DenyCode,
  query: ConnectionQuery,
  own: readonly string[],
): { missing: NonNullable<Explanation["missing"]>; hint: string } {
  switch (code) {
    case "no_policies":
      return { missing: "policy", hint: "the policy has no network_policies: everything is refused" };
    case "host_not_allowed":
      return { missing: "host", hint: `no rule has an endpoint for host ${query.host}` };
    case "port_not_allowed":
      return { missing: "port", hint: `add ${query.port} to the ports of an endpoint for ${query.host}` };
    case "binary_not_allowed":
      if (own.includes(query.exe))
        return { missing: "binary", hint: "nothing can allow this: our own executable is a way around identity" };
      return { missing: "binary", hint: `add {path: ${query.exe}, self_only: true} to the binaries of one of these rules` };
    default:
      return { missing: "input", hint: "host in lower case without trailing dot, port 1 to 65535, absolute paths" };
  }
}
