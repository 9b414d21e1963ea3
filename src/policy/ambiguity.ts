import type { Violation } from "../error.ts";
import { fieldPath } from "./field-path.ts";
import { stable } from "./hash.ts";
import type { Binary, Endpoint, Policy } from "./model.ts";
import { hostsMeet, pathsMeet } from "./patterns.ts";
import { isInspected } from "./validate-rules.ts";

interface Place {
  /** Position in the file. */
  readonly order: number;
  readonly field: string;
  readonly endpoint: Endpoint;
  readonly binaries: readonly Binary[];
  readonly connection: string;
  readonly request: string;
}

/** Settings of a connection, before any request is known. */
const CONNECTION = ["tls", "allowed_ips", "advisor_proposed", "tcp"] as const;
/** Settings of a request, where the `path` selectors do not tell the endpoints apart. */
const REQUEST = [
  ...["protocol", "enforcement", "allow_encoded_slash", "websocket_credential_rewrite", "request_body_credential_rewrite"],
  ...["allow_uninspected_credentials", "credential_signing", "signing_service", "signing_region", "credential_binding"],
  ...["graphql_max_body_bytes", "json_rpc.max_body_bytes", "mcp.strict_tool_names", "mask_responses"],
] as const;

/**
 * Endpoints of which one connection can match both must agree on how it is treated. They meet when their hosts, ports and the patterns of their
 * binaries can match the same; that a binary also matches descendants does not count.
 */
export function* ambiguities(policy: Policy): Generator<Violation> {
  const reported = new Set<string>();
  for (const places of byPort(policy).values()) {
    for (const [a, b] of candidates(places)) {
      const names = conflict(a, b);
      const pair = `${a.field} ${b.field}`;
      if (names.length === 0 || reported.has(pair)) continue;
      reported.add(pair);
      yield { field: b.field, message: `matches the same connections as ${a.field} but differs in ${names.join(", ")}` };
    }
  }
}

function byPort(policy: Policy): Map<number, Place[]> {
  const ports = new Map<number, Place[]>();
  let order = 0;
  for (const [key, { endpoints, binaries }] of Object.entries(policy.networkPolicies)) {
    for (const [i, endpoint] of endpoints.entries()) {
      const settings = settingsOf(endpoint);
      const text = (names: readonly string[]) => stable(names.map((name) => settings[name]));
      const field = fieldPath(["network_policies", key, "endpoints", i]);
      const place = { order: order++, field, endpoint, binaries, connection: text(CONNECTION), request: text(REQUEST) };
      for (const port of endpoint.ports) append(ports, port, place);
    }
  }
  return ports;
}

/** Pairs whose hosts could meet, in the order of the file: a policy may have thousands of exact hosts, and two of them meet only when they are equal. */
function* candidates(places: readonly Place[]): Generator<[Place, Place]> {
  const exact = new Map<string, Place[]>();
  const patterns: Place[] = [];
  for (const b of places) {
    const { host } = b.endpoint;
    const open = host === "" || host.includes("*");
    const earlier = open ? places : [...(exact.get(host) ?? []), ...patterns];
    for (const a of earlier) if (a.order < b.order) yield [a, b];
    if (open) patterns.push(b);
    else append(exact, host, b);
  }
}

function append<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const values = map.get(key);
  if (values === undefined) map.set(key, [value]);
  else values.push(value);
}

function conflict(a: Place, b: Place): string[] {
  if (a.connection === b.connection && a.request === b.request) return [];
  const tie = pathsTie(a.endpoint.path, b.endpoint.path);
  if (a.connection === b.connection && !tie) return [];
  if (!hostsMeet(a.endpoint.host, b.endpoint.host) || !binariesMeet(a.binaries, b.binaries)) return [];
  const [left, right] = [settingsOf(a.endpoint), settingsOf(b.endpoint)];
  return [...CONNECTION, ...(tie ? REQUEST : [])].filter((name) => stable(left[name]) !== stable(right[name]));
}

/** Two path selectors of which neither is more specific where both match. */
function pathsTie(a: string, b: string): boolean {
  return a === b || (specificity(a) === specificity(b) && selectorsMeet(a, b));
}

function binariesMeet(a: readonly Binary[], b: readonly Binary[]): boolean {
  return a.some(({ path }) => b.some((other) => pathsMeet(path, other.path)));
}

/** Characters of a path selector that are not wildcards: the longer one decides. */
function specificity(path: string): number {
  return path.replaceAll("*", "").length;
}

/** Selectors of equal specificity tie when they can match one path; without a cheap exact answer for free globs, a shared literal prefix counts. */
function selectorsMeet(a: string, b: string): boolean {
  const [headA = "", headB = ""] = [a.split(/[*?[]/)[0], b.split(/[*?[]/)[0]];
  if (headA === a && headB === b) return a === b;
  return headA.startsWith(headB) || headB.startsWith(headA);
}

/** Absent and default values are the same setting. */
function settingsOf(e: Endpoint): Record<string, unknown> {
  return {
    tls: e.tls === "skip" ? "skip" : "",
    allowed_ips: [...new Set(e.allowedIps)].sort(),
    advisor_proposed: e.advisorProposed,
    tcp: e.protocol === "tcp",
    protocol: e.protocol,
    enforcement: isInspected(e.protocol) ? e.enforcement || "audit" : "",
    allow_encoded_slash: e.allowEncodedSlash,
    websocket_credential_rewrite: e.websocketCredentialRewrite,
    request_body_credential_rewrite: e.requestBodyCredentialRewrite,
    allow_uninspected_credentials: e.allowUninspectedCredentials,
    credential_signing: e.credentialSigning,
    signing_service: e.signingService,
    signing_region: e.signingRegion,
    credential_binding: e.credentialBinding?.provider ?? "",
    graphql_max_body_bytes: e.graphqlMaxBodyBytes,
    "json_rpc.max_body_bytes": e.jsonRpcMaxBodyBytes,
    "mcp.strict_tool_names": e.mcp?.strictToolNames ?? true,
    mask_responses: e.maskResponses,
  };
}
