import { create } from "@bufbuild/protobuf";
import type { RequestQuery } from "../../../engine/decision.ts";
import { PolicyEngine } from "../../../engine/policy-engine.ts";
import { OpenShellError } from "../../../error.ts";
import { withExistingSettings } from "../../../policy/adopt.ts";
import { emptyEndpoint } from "../../../policy/defaults.ts";
import { addProposedRule } from "../../../policy/merge.ts";
import type { Endpoint, NetworkRule, Policy, Protocol, RequestRule } from "../../../policy/model.ts";
import { hostsMeet } from "../../../policy/patterns.ts";
import { ruleToProto } from "../../../policy/proto.ts";
import { MASKED_SEGMENT, templatesOf } from "../../../policy/request-template.ts";
import { type PolicyChunk, PolicyChunkSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { Emission, Entry } from "./aggregator.ts";
import type { Asked } from "./asked.ts";
import { MAX_RULES } from "./limits.ts";
import { chunkFields, placeOf, ruleName } from "./mechanistic.ts";

/** A proposal, and why nothing is proposed for some or all of what was asked for. */
export interface Narrow {
  readonly chunk?: PolicyChunk;
  readonly problems: readonly string[];
}

/**
 * The proposal for requests that a policy with rules about requests refused: the rules that those requests need, for this program alone, beside
 * what the policy says already. Checked by the engine: with it every one of them would have been allowed.
 */
export function proposeRequests(emission: Emission, policy: Policy): Narrow {
  const { entry, requests } = emission;
  const problems = new Set<string>();
  const wanted: Wanted[] = [];
  for (const { asked } of requests.map(({ sample }) => sample)) {
    if (asked === undefined) continue;
    if (typeof asked.rule === "string") problems.add(`${nameOf(asked)}: ${asked.rule}`);
    else wanted.push({ asked, rule: asked.rule });
  }
  const open = templated(wanted);
  const some = open.slice(0, MAX_RULES);
  const found = check(entry, policy, some);
  for (const problem of found.problems) problems.add(problem);
  if (found.good.length === 0) return { problems: [...problems] };
  const rule = ruleFor(entry, found.good);
  return {
    chunk: create(PolicyChunkSchema, {
      ...chunkFields(emission),
      ruleName: rule.name,
      proposedRule: ruleToProto(rule),
      rationale: rationale(entry, found.good),
      stage: "refined",
    }),
    problems: [...problems],
  };
}

interface Wanted {
  readonly asked: Asked;
  readonly rule: RequestRule;
}

/** Paths of one endpoint and method in the light of each other. What stays masked and cannot be left open is for a person. */
function templated(wanted: readonly Wanted[]): Wanted[] {
  const groups = Map.groupBy(wanted, ({ asked }) => JSON.stringify([asked.protocol, asked.selector]));
  return [...groups.values()].flatMap((group) => {
    const templates = templatesOf(group.map(({ rule }) => ({ method: rule.method, path: rule.path })));
    return group.map(({ asked, rule }, i) => ({
      asked,
      rule: rule.path === "" ? rule : { ...rule, path: templates[i]?.path ?? rule.path },
    }));
  });
}

function check(entry: Entry, policy: Policy, wanted: readonly Wanted[]): { good: Wanted[]; problems: string[] } {
  const problems: string[] = [];
  const literal = wanted.filter(({ asked, rule }) => {
    if (!rule.path.includes(MASKED_SEGMENT)) return true;
    problems.push(`${nameOf(asked)}: all of its path could be a secret`);
    return false;
  });
  if (literal.length === 0) return { good: [], problems };
  const denied = refusals(entry, policy, literal);
  const good = literal.filter((_, i) => denied[i] === undefined);
  for (const [i, { asked }] of literal.entries()) if (denied[i] !== undefined) problems.push(`${nameOf(asked)}: ${denied[i]}`);
  return { good, problems };
}

/** For each request what would still refuse it, or undefined; asked of an engine with just the rules that speak of this place. */
function refusals(entry: Entry, policy: Policy, wanted: readonly Wanted[]): (string | undefined)[] {
  const { host, port, binary, ancestors } = entry;
  try {
    const rule = ruleFor(entry, wanted);
    const here: Policy = {
      version: policy.version,
      networkPolicies: Object.fromEntries(Object.entries(policy.networkPolicies).filter(([, other]) => speaksOf(other, host, port))),
    };
    const engine = new PolicyEngine();
    engine.load(addProposedRule(here, rule.name, withExistingSettings(here, rule, ancestors)).policy);
    return wanted.map(({ asked }) => {
      const request = asked.facts.kind === "sql" ? asked.facts : { ...asked.facts, path: asked.path.replaceAll(MASKED_SEGMENT, "masked") };
      const query: RequestQuery = { host, port, exe: binary, ancestors, request };
      const { action, reason } = engine.decideRequest(query);
      return action === "allow" ? undefined : `an added rule would not allow it (${reason || action})`;
    });
  } catch (error) {
    const why = OpenShellError.from(error).message;
    return wanted.map(() => `the policy would not be valid with a rule for it: ${why}`);
  }
}

function speaksOf(rule: NetworkRule, host: string, port: number): boolean {
  return rule.endpoints.some((endpoint) => hostsMeet(endpoint.host, host) && endpoint.ports.includes(port));
}

function ruleFor(entry: Entry, wanted: readonly Wanted[]): NetworkRule {
  const groups = Map.groupBy(wanted, ({ asked }) => JSON.stringify([asked.protocol, asked.selector]));
  const endpoints = [...groups.values()].flatMap((group): Endpoint[] => {
    const [first] = group;
    if (first === undefined) return [];
    const rules = new Map(group.map(({ rule }) => [JSON.stringify(rule), rule]));
    const { protocol, selector } = first.asked;
    return [
      {
        ...emptyEndpoint,
        host: entry.host,
        ports: [entry.port],
        // Where no endpoint spoke of the path, the new one speaks of HTTP.
        protocol: (protocol || "rest") as Protocol,
        path: selector,
        enforcement: "enforce",
        rules: [...rules.values()],
      },
    ];
  });
  const name = ruleName(entry.host, entry.port, [entry.binary]);
  return { name, endpoints, binaries: [{ path: entry.binary, selfOnly: true }] };
}

/** Requests named in one text; the rule shows all of them. */
const NAMED_AT_MOST = 5;

function rationale(entry: Entry, wanted: readonly Wanted[]): string {
  const names = [...new Set(wanted.map(({ rule, asked }) => (rule.path === "" ? nameOf(asked) : `${rule.method} ${rule.path}`)))];
  const more = names.length > NAMED_AT_MOST ? ` and ${names.length - NAMED_AT_MOST} more` : "";
  const open = names.some((name) => name.includes("*"))
    ? " A * stands for one part of the path: an id, something that could be a secret, or one of many values."
    : "";
  const times = entry.total === 1 ? "once" : `${entry.total} times`;
  return (
    `${entry.binary} may connect to ${placeOf(entry)}, and was denied requests there ${times}. Approving adds exactly ${names.slice(0, NAMED_AT_MOST).join(", ")}${more}, ` +
    `with any query, body and arguments; every other request is decided as before.${open} Programs that it starts get nothing from this rule.`
  );
}

function nameOf({ method, path }: Asked): string {
  return `${method} ${path}`;
}
