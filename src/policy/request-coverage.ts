import { inspectingEndpoints } from "./adopt.ts";
import type { AccessPreset, Endpoint, NetworkRule, Policy, RequestRule } from "./model.ts";
import { hostCovers, pathCovers } from "./patterns.ts";
import { observedAs } from "./request-evidence.ts";

/** What presets allow, as policies/request_index.rego says it; a test holds the two together. */
const PRESETS: Readonly<Record<string, Readonly<Partial<Record<AccessPreset, readonly string[]>>>>> = {
  rest: {
    "read-only": ["GET", "HEAD", "OPTIONS"],
    "read-write": ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "WEBSOCKET_TEXT"],
  },
  websocket: { "read-only": ["GET"], "read-write": ["GET", "WEBSOCKET_TEXT"] },
  graphql: { "read-only": ["query"], "read-write": ["query", "mutation"] },
};

/** The methods that a preset of an endpoint stands for, each on every path; undefined where a preset is not about methods, or is about all. */
export function presetMethods({ protocol, access }: Pick<Endpoint, "protocol" | "access">): readonly string[] | undefined {
  return protocol === "graphql" ? undefined : PRESETS[protocol]?.[access];
}

/**
 * True when every request that a proposed rule names is allowed already, for each of its programs at each of its places. Conservative: false
 * when in doubt, and for a rule with an endpoint that names no requests.
 */
export function requestsCovered(policy: Policy, { endpoints, binaries }: NetworkRule, ancestors: readonly string[] = []): boolean {
  return endpoints.every(
    (wanted) =>
      wanted.rules.length > 0 &&
      wanted.ports.every((port) =>
        binaries.every(({ path: binary }) => {
          const existing = inspectingEndpoints(policy, { host: wanted.host, port, binary, ancestors }).filter(
            ({ host, protocol, path }) => hostCovers(host, wanted.host) && protocol === wanted.protocol && path === wanted.path,
          );
          return wanted.rules.every((rule) => existing.some((endpoint) => allows(endpoint, rule)));
        }),
      ),
  );
}

/** Whether an endpoint allows every request that one rule of a proposal is about. */
export function allows(endpoint: Endpoint, wanted: RequestRule): boolean {
  const { protocol, access, rules } = endpoint;
  const observed = observedAs(protocol, wanted);
  if (observed === undefined) return false;
  if (access === "full") return true;
  const word = protocol === "graphql" ? wanted.operationType : wanted.method;
  if (PRESETS[protocol]?.[access]?.includes(word)) return true;
  return rules.some((rule) => {
    const other = observedAs(protocol, rule);
    if (other === undefined || (other.path === "") !== (observed.path === "")) return false;
    const method = other.method === observed.method || (other.method === "GET" && observed.method === "HEAD");
    return method && (other.path === "" || pathCovers(other.path, observed.path));
  });
}
