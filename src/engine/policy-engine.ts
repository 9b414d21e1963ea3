import { OpenShellError } from "../error.ts";
import type { Policy } from "../policy/model.ts";
import { requireValidPolicy } from "../policy/validate.ts";
import { readAnswer } from "./answer.ts";
import type { ConnectionQuery, Decision, DenyCode, MatchedEndpoint, RequestDecision, RequestEngine, RequestQuery } from "./decision.ts";
import { cacheKey, DecisionCache, MAX_CACHED_REQUESTS, MAX_REQUEST_KEY_LENGTH, requestCacheKey } from "./decision-cache.ts";
import { type Generation, prepareGeneration, reviveInstance } from "./generation.ts";
import { refusalReason } from "./reason.ts";
import type { Entrypoint } from "./rego.ts";
import { evaluateRequest } from "./request.ts";
import { isConnectionQuery, isRequest } from "./well-formed.ts";

export interface PolicyEngineOptions {
  /** Paths at which the agent may find our own executable; no rule ever matches them. */
  readonly ownExecutables?: readonly string[];
}

/** Decides connections and requests by the rego rules in wasm, with one atomic snapshot per policy generation. */
export class PolicyEngine implements RequestEngine {
  private readonly own: readonly string[];
  private current: Generation | undefined;
  private cache = new DecisionCache<Decision>();
  private requests = requestCache();
  private count = 0;

  constructor(options: PolicyEngineOptions = {}) {
    this.own = options.ownExecutables ?? [];
  }

  get generation(): number {
    return this.count;
  }

  /** The policy in force. */
  get policy(): Policy | undefined {
    return this.current?.policy;
  }

  /**
   * Prepares a new generation beside the old one, probes it, and swaps. Takes about 20 ms at 10 rules and 300 ms at 1,000.
   * @throws OpenShellError when the policy is invalid or the rules cannot decide it; the old generation stays in force.
   */
  load(policy: Policy): void {
    // Whether `process` may name accounts was settled by whoever read the policy; nothing here depends on it.
    requireValidPolicy(policy, { accounts: true });
    const next = prepareGeneration(policy, this.own);
    this.current = next;
    this.cache = new DecisionCache<Decision>();
    this.requests = requestCache();
    this.count += 1;
  }

  decide(query: ConnectionQuery): Decision {
    if (this.current === undefined) return this.refuse("no_policies", "no policy is loaded yet");
    if (!isConnectionQuery(query)) return this.refuse("malformed", "the connection request is malformed");
    const key = cacheKey(query);
    const known = this.cache.get(key);
    if (known !== undefined) return known;
    const decision = this.evaluate(this.current, query);
    // A failure may pass; a decision of the rules holds for the generation.
    if (decision.allowed || decision.code !== "engine_failure") this.cache.set(key, decision);
    return decision;
  }

  /** Nothing is awaited between the two decisions, so both are of one generation. */
  decideRequest(query: RequestQuery): RequestDecision {
    const known = this.knownRequest(query);
    if (known !== undefined) return known;
    const connection = this.decide(query);
    if (!connection.allowed) return { action: "deny", code: connection.code, reason: connection.reason, generation: this.count };
    const { current } = this;
    if (current === undefined || !isRequest(query.request)) return this.refuseRequest("malformed", "the request is malformed");
    try {
      const decision = evaluateRequest(query, connection, (input) => this.ask(current, "openshell/request", input));
      // As with connections, a failure is not kept.
      if (decision.code !== "engine_failure") this.requests.set(requestCacheKey(query), decision);
      return decision;
    } catch (error) {
      return this.refuseRequest("engine_failure", undecided(error));
    }
  }

  /** What is kept was well-formed and of an allowed connection. */
  private knownRequest(query: RequestQuery): RequestDecision | undefined {
    try {
      return this.requests.get(requestCacheKey(query));
    } catch {
      // What has no key is not well-formed either.
      return undefined;
    }
  }

  private evaluate(generation: Generation, query: ConnectionQuery): Decision {
    try {
      const { host, port, exe, ancestors } = query;
      const answer = readAnswer(this.ask(generation, "openshell/decision", { host, port, exe, ancestors, own: this.own }));
      if (answer === undefined) throw new OpenShellError("internal", "the rules gave no answer of a known shape");
      if (!answer.allow) return this.refuse(answer.code, refusalReason(answer, query));
      const endpoints = answer.endpoints.map(([rule, index]) => matchedEndpoint(generation.policy, rule, index));
      return { allowed: true, policy: answer.policy, endpoints, generation: this.count };
    } catch (error) {
      return this.refuse("engine_failure", undecided(error));
    }
  }

  private ask(generation: Generation, entrypoint: Entrypoint, input: object): unknown {
    try {
      generation.instance ??= reviveInstance(generation);
      return generation.instance.evaluate(entrypoint, JSON.stringify(input));
    } catch (error) {
      // Every throw inside the wasm leaks its stack: the next decision gets a new instance.
      generation.instance = undefined;
      throw error;
    }
  }

  private refuse(code: DenyCode, reason: string): Decision {
    return { allowed: false, code, reason, generation: this.count };
  }

  private refuseRequest(code: DenyCode, reason: string): RequestDecision {
    return { action: "deny", code, reason, generation: this.count };
  }
}

function requestCache(): DecisionCache<RequestDecision> {
  return new DecisionCache(MAX_CACHED_REQUESTS, MAX_REQUEST_KEY_LENGTH);
}

function undecided(error: unknown): string {
  return `the policy engine could not decide: ${OpenShellError.from(error).message}`;
}

function matchedEndpoint(policy: Policy, rule: string, index: number): MatchedEndpoint {
  const endpoint = Object.hasOwn(policy.networkPolicies, rule) ? policy.networkPolicies[rule]?.endpoints[index] : undefined;
  if (endpoint === undefined)
    throw new OpenShellError("internal", `the rules named an endpoint that the policy does not have: ${rule}/${index}`);
  return { id: `${rule}/${index}`, endpoint };
}
