import { inspectingEndpoints } from "../../../policy/adopt.ts";
import { endpointText } from "../../../policy/hash.ts";
import { coveredBy } from "../../../policy/merge.ts";
import type { Binary, Endpoint, NetworkRule, Policy } from "../../../policy/model.ts";
import { registrableDomain } from "./host.ts";
import { baseName } from "./known.ts";
import { describeRequests, isEnforced } from "./requests.ts";

/** One program that may reach one port of one host in one way: the smallest piece of a network policy. */
export interface Grant {
  readonly binary: Binary;
  readonly endpoint: Endpoint;
  readonly port: number;
  /** The program may ask for other things there already. */
  readonly further?: boolean;
}

/** What changes between two effective policies. */
export interface Reach {
  readonly gained: readonly Grant[];
  /** What stays of a grant that lets less through now, beside what it let through before. */
  readonly narrowed: readonly { readonly now: Grant; readonly before: Grant }[];
  readonly lost: readonly Grant[];
}

/** A directory that a person reading `curl` thinks of; programs elsewhere are named by their whole path. */
const usualDirectories = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin"];

/** What the second policy allows that the first did not, and the other way round. Nothing else may make a sentence (threat 18). */
export function difference(before: Policy, after: Policy): Reach {
  const [added, removed] = [onlyIn(after, before), onlyIn(before, after)];
  const gained: Grant[] = added
    .filter((grant) => !coveredBy(before, ruleOf(grant)))
    .map((grant) => ({ ...grant, further: isFurther(before, grant) }));
  const gone = removed.filter((grant) => !coveredBy(after, ruleOf(grant)));
  const remains = new Map(added.filter((grant) => !gained.includes(grant)).map((grant) => [subject(grant), grant]));
  const narrowed = gone.flatMap((grant) => {
    const now = remains.get(subject(grant));
    return now ? [{ now, before: grant }] : [];
  });
  return { gained, narrowed, lost: gone.filter((grant) => !remains.has(subject(grant))) };
}

/** Whether requests of that program there are decided one by one already, and some more are to be allowed. */
function isFurther(before: Policy, { binary, endpoint, port }: Grant): boolean {
  if (!isEnforced(endpoint)) return false;
  return inspectingEndpoints(before, { host: endpoint.host, port, binary: binary.path, ancestors: [] }).length > 0;
}

/** The difference in words: one clause for every program, port and kind of request. */
export function sentenceFor({ gained, narrowed, lost }: Reach): string {
  const fewer = narrowed.map(
    ({ now, before }) => `${clause([now], now, "may still connect to")}, no longer ${describeRequests(before.endpoint)}`,
  );
  const further = gained.filter(({ further: isFurther }) => isFurther);
  return (
    [
      ...clauses(
        gained.filter((grant) => !further.includes(grant)),
        "may connect to",
      ),
      ...clauses(further, FURTHER),
      ...fewer,
      ...clauses(lost, "may no longer connect to"),
    ].join("; ") || NO_CHANGE
  );
}

/** Of requests to a place where others are decided already. */
const FURTHER = "may also ask";

const NO_CHANGE = "nothing changes: the policy says so already";

/** Every host and port that becomes reachable, with the registrable domain apart, and by whom. */
export function newlyReachable(reach: Reach): string[] {
  const what = ({ endpoint, further }: Grant): string => (further ? `, ${describeRequests(endpoint)}` : "");
  return [...new Set(reach.gained.map((grant) => `${place(grant)} by ${grant.binary.path}${what(grant)}`))];
}

function place({ endpoint, port }: Grant): string {
  const host = endpoint.host || `any host at ${endpoint.allowedIps.join(", ")}`;
  const domain = registrableDomain(endpoint.host);
  const shown = endpoint.host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  return endpoint.host === "" || domain === endpoint.host ? shown : `${shown} (domain ${domain})`;
}

function clauses(grants: readonly Grant[], verb: string): string[] {
  const groups = new Map<string, Grant[]>();
  for (const grant of grants) {
    const key = JSON.stringify([grant.binary, grant.port, describeRequests(grant.endpoint), grant.endpoint.allowedIps]);
    groups.set(key, [...(groups.get(key) ?? []), grant]);
  }
  return [...groups.values()].flatMap((group) => (group[0] ? [clause(group, group[0], verb)] : []));
}

function clause(group: readonly Grant[], { binary, endpoint, port }: Grant, verb: string): string {
  const hosts = [...new Set(group.map((grant) => grant.endpoint.host || "any host"))].join(", ");
  const at = endpoint.allowedIps.length > 0 ? ` at ${endpoint.allowedIps.join(", ")}` : "";
  const requests = describeRequests(endpoint);
  const what = verb === FURTHER ? ` for ${requests.replace(/^only /, "")}` : ` — ${requests}`;
  return `${program(binary)} ${verb} ${hosts}${at} on port ${port}${what}`;
}

function program({ path, selfOnly }: Binary): string {
  const directory = path.slice(0, path.lastIndexOf("/"));
  const name = usualDirectories.includes(directory) ? baseName(path) : path;
  return selfOnly ? name : `${name} and every program it starts`;
}

/** Grants that are in a policy and not, word for word, in the other. Cheap, so that only few need the coverage check. */
function onlyIn(policy: Policy, other: Policy): Grant[] {
  const known = new Set(grantsOf(other).map(identity));
  return grantsOf(policy).filter((grant) => !known.has(identity(grant)));
}

function identity({ binary, endpoint, port }: Grant): string {
  return `${binary.path} ${binary.selfOnly} ${port} ${endpointText({ ...endpoint, ports: [] })}`;
}

/** Who and where, whatever the requests. */
function subject({ binary, endpoint, port }: Grant): string {
  return JSON.stringify([binary, endpoint.host, port]);
}

function grantsOf(policy: Policy): Grant[] {
  return Object.values(policy.networkPolicies).flatMap((rule) =>
    rule.binaries.flatMap((binary) => rule.endpoints.flatMap((endpoint) => endpoint.ports.map((port) => ({ binary, endpoint, port })))),
  );
}

function ruleOf({ binary, endpoint, port }: Grant): NetworkRule {
  return { name: "grant", endpoints: [{ ...endpoint, ports: [port] }], binaries: [binary] };
}
