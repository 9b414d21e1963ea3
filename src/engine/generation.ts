import { OpenShellError } from "../error.ts";
import type { Policy } from "../policy/model.ts";
import { readAnswer } from "./answer.ts";
import { engineData } from "./engine-data.ts";
import { DECISION_PAGES, INDEX_PAGES, RegoInstance } from "./rego.ts";
import { readRequestAnswer } from "./request-answer.ts";

/** One loaded policy: its data as text, so that a lost instance can be made again. */
export interface Generation {
  readonly policy: Policy;
  readonly data: string;
  instance: RegoInstance | undefined;
}

/** UTF-16 units of the data with its tables. A policy of the largest accepted size gives about 3 MiB. */
const MAX_DATA_LENGTH = 16 * 1024 * 1024;

/** Builds the look-up tables in a throw-away instance, then an instance that decides, and probes it. Throws OpenShellError. */
export function prepareGeneration(policy: Policy, own: readonly string[]): Generation {
  if (combinations(policy) > MAX_COMBINATIONS) throw tooLarge();
  const input = engineData(policy);
  const index = withinMemory(() => {
    const builder = new RegoInstance(INDEX_PAGES);
    builder.setData(JSON.stringify(input));
    return builder.evaluate("openshell/index", "{}");
  });
  refuseUnsupported(index);
  const data = JSON.stringify({ ...input, index });
  if (data.length > MAX_DATA_LENGTH) {
    throw new OpenShellError(
      "resource_exhausted",
      `the policy's tables are ${data.length} characters, at most ${MAX_DATA_LENGTH} are accepted`,
    );
  }
  const generation: Generation = { policy, data, instance: undefined };
  generation.instance = withinMemory(() => {
    const instance = reviveInstance(generation);
    probe(instance, own);
    return instance;
  });
  return generation;
}

/** A policy can be accepted field by field and still be too much as a whole: its tables grow with endpoints, ports and binaries multiplied. */
function withinMemory<T>(prepare: () => T): T {
  try {
    return prepare();
  } catch (error) {
    if (!(error instanceof OpenShellError) || !error.message.includes(OUT_OF_MEMORY)) throw error;
    throw tooLarge(error);
  }
}

function tooLarge(cause?: unknown): OpenShellError {
  return new OpenShellError(
    "resource_exhausted",
    "the policy is too large to be decided on: its tables take more memory than the engine has",
    {
      ...(cause === undefined ? {} : { cause }),
      next: "give a rule fewer endpoints, ports or binaries (a pattern stands for many), or make several rules of it",
    },
  );
}

/** Each takes 26 characters of the tables at least, so that more than this would not fit, after seconds in which nothing else is decided. */
const MAX_COMBINATIONS = 1_000_000;

function combinations({ networkPolicies }: Policy): number {
  return Object.values(networkPolicies).reduce(
    (sum, { endpoints, binaries }) => sum + endpoints.reduce((ports, endpoint) => ports + endpoint.ports.length, 0) * binaries.length,
    0,
  );
}

/** How the wasm says it. */
const OUT_OF_MEMORY = "opa_malloc: failed";

/** A fresh instance with the data of a generation (about 1 ms, and 30 ms at 1,000 rules). */
export function reviveInstance({ data }: Generation): RegoInstance {
  const instance = new RegoInstance(DECISION_PAGES);
  instance.setData(data);
  return instance;
}

function refuseUnsupported(index: unknown): void {
  const unsupported = (index as { unsupported?: unknown } | undefined)?.unsupported;
  if (!Array.isArray(unsupported)) throw new OpenShellError("internal", "the rules made no index of the policy");
  if (unsupported.length === 0) return;
  const violations = (unsupported as { rule: string; pattern: string }[]).map(({ rule, pattern }) => ({
    field: `network_policies.${rule}`,
    message: `pattern '${pattern}' is not supported`,
  }));
  throw new OpenShellError("invalid_argument", `the policy has patterns that the engine cannot decide: ${violations[0]?.message}`, {
    next: "in hosts and binaries: at most one `**`, one `*` per segment, no ? [ ] { }; in request rules see the policy reference",
    violations,
  });
}

/** Nothing may be allowed without a program, and a well-formed question must get an answer of the rules. */
function probe(instance: RegoInstance, own: readonly string[]): void {
  const question = { host: "probe.invalid", port: 1, exe: "/probe", ancestors: [], own };
  const refused = readAnswer(instance.evaluate("openshell/decision", "{}"));
  const answer = readAnswer(instance.evaluate("openshell/decision", JSON.stringify(question)));
  const sound = refused?.allow === false && refused.code === "malformed" && answer !== undefined;
  const request = readRequestAnswer(instance.evaluate("openshell/request", "{}"));
  const closed = request?.action === "deny" && request.code === "malformed";
  if (!sound || !closed || (!answer.allow && (answer.code === "malformed" || answer.code === "engine_failure"))) {
    throw new OpenShellError("internal", "the new policy failed its probe: the rules do not answer as they must");
  }
}
