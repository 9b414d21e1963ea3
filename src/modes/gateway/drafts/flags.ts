import type { Endpoint, Policy } from "../../../policy/model.ts";
import { hostsMeet } from "../../../policy/patterns.ts";
import { classifyAddress, parseAddress } from "./address.ts";
import type { Chunk, Denial, Flag } from "./chunk.ts";
import { lookAlike } from "./host.ts";
import { administrationAt, baseName, databaseAt, exfiltrationKind, hostAliases, isInterpreter } from "./known.ts";
import { EPHEMERAL_PORT_FLOOR } from "./limits.ts";
import { allowsWrites, describeRequests, isEnforced } from "./requests.ts";

/** Facts that the notes of a chunk are computed from; nothing in here is what the sandbox says about its own safety. */
export interface FlagFacts {
  readonly denials: readonly Denial[];
  readonly policy: Policy | undefined;
  /** Patterns of the hosts to which credentials of the sandbox's providers may be sent. */
  readonly credentialed: readonly string[];
}

/** Directories that are read-only in the default view, when a policy names none. */
const defaultReadOnly = ["/usr", "/opt", "/bin", "/sbin", "/lib", "/lib64"];

/** Every security note that applies to a chunk, each code once per subject. */
export function flagsOf(chunk: Chunk, facts: FlagFacts): Flag[] {
  const flags = [
    ...chunk.rule.endpoints.flatMap((endpoint) => [
      ...hostFlags(endpoint, facts.credentialed),
      ...portFlags(endpoint),
      ...requestFlags(endpoint),
    ]),
    ...chunk.rule.binaries.flatMap(({ path, selfOnly }) => binaryFlags(path, selfOnly, facts.policy)),
    ...originFlags(chunk, facts.denials),
  ];
  return flags.filter((flag, index) => flags.findIndex((other) => other.code === flag.code && other.sentence === flag.sentence) === index);
}

function hostFlags(endpoint: Endpoint, credentialed: readonly string[]): Flag[] {
  const { host } = endpoint;
  const flags: Flag[] = [];
  const address = parseAddress(host);
  const kind = address && classifyAddress(address);
  if (kind && kind.class !== "public") flags.push({ code: "private_address", sentence: `${host} is a ${kind.kind} address` });
  if (endpoint.allowedIps.length > 0) {
    flags.push({ code: "private_address", sentence: `${host || "any host"} may resolve to ${endpoint.allowedIps.join(", ")}` });
  }
  if (host.includes("*") || host === "")
    flags.push({ code: "wildcard_host", sentence: `${host || "an empty host"} matches any number of hosts` });
  if (hostAliases.has(host)) flags.push({ code: "private_address", sentence: `${host} is a name of the machine that runs the sandbox` });
  const alike = lookAlike(host);
  if (alike) flags.push({ code: "look_alike_host", sentence: alike });
  const kindOfExit = exfiltrationKind(host);
  if (kindOfExit)
    flags.push({ code: "exfiltration_host", sentence: `${host} is a known ${kindOfExit} service: data can be left there for anyone` });
  const carries = endpoint.providerCredentialed || endpoint.credentialBinding !== undefined || endpoint.credentialSigning !== "";
  if (carries || credentialed.some((pattern) => host !== "" && hostsMeet(pattern, host))) {
    flags.push({ code: "credentialed_endpoint", sentence: `requests to ${host} carry credentials` });
  }
  return flags;
}

function portFlags(endpoint: Endpoint): Flag[] {
  return endpoint.ports.flatMap((port) => {
    const database = databaseAt(port);
    const administration = administrationAt(port);
    return [
      ...(database ? [{ code: "database_port", sentence: `port ${port} is where ${database} listens` }] : []),
      ...(administration ? [{ code: "admin_port", sentence: `port ${port} is where ${administration} listens` }] : []),
      ...(port > EPHEMERAL_PORT_FLOOR ? [{ code: "ephemeral_port", sentence: `port ${port} belongs to no known service` }] : []),
    ];
  });
}

function requestFlags(endpoint: Endpoint): Flag[] {
  const flags: Flag[] = [];
  if (allowsWrites(endpoint))
    flags.push({ code: "write_access", sentence: `data can be sent to ${endpoint.host}: ${describeRequests(endpoint)}` });
  if (endpoint.tls === "skip") flags.push({ code: "uninspected", sentence: `traffic to ${endpoint.host} is not inspected` });
  if (isEnforced(endpoint) && endpoint.allowEncodedSlash) {
    flags.push({ code: "encoded_slash", sentence: `${endpoint.host} may see encoded slashes, which can hide path segments` });
  }
  return flags;
}

function binaryFlags(path: string, selfOnly: boolean, policy: Policy | undefined): Flag[] {
  const flags: Flag[] = [];
  if (isInterpreter(path))
    flags.push({ code: "interpreter", sentence: `${baseName(path)} is an interpreter: any script it runs gets this right` });
  if (isWritable(path, policy))
    flags.push({ code: "writable_binary", sentence: `${path} is not on a read-only path: the agent could have written it` });
  if (!selfOnly) flags.push({ code: "covers_children", sentence: `every program that ${path} starts gets this right` });
  if (/[*?[\]{}]/.test(path)) flags.push({ code: "wildcard_binary", sentence: `${path} matches any number of programs` });
  return flags;
}

/** Whether the agent can write a program: it lies on no read-only path, or below a writable one. */
export function isWritable(path: string, policy: Policy | undefined): boolean {
  const filesystem = policy?.filesystem;
  const within = (directory: string): boolean => path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`);
  if (filesystem?.readWrite.some(within)) return true;
  if (filesystem?.includeWorkdir !== false && within("/sandbox")) return true;
  return !(filesystem && filesystem.readOnly.length > 0 ? [...filesystem.readOnly, ...defaultReadOnly] : defaultReadOnly).some(within);
}

function originFlags(chunk: Chunk, denials: readonly Denial[]): Flag[] {
  const flags: Flag[] = [];
  if (chunk.analysisMode === "agent_authored") flags.push({ code: "agent_authored", sentence: "the agent wrote this proposal itself" });
  if (chunk.escaped || denials.some((denial) => denial.escaped)) {
    flags.push({ code: "escaped_text", sentence: "names or command lines held control or non-ASCII characters, shown escaped" });
  }
  if (chunk.dnsNote !== "") flags.push({ code: "dns_differs", sentence: chunk.dnsNote });
  for (const denial of denials) {
    if (denial.stages.includes("ssrf") && !parseAddress(denial.host)) {
      flags.push({ code: "private_address", sentence: `${denial.host} was refused for the address it resolves to` });
    }
  }
  if (chunk.stage === "initial" && denials.every((denial) => denial.bursts <= 1)) {
    flags.push({ code: "single_burst", sentence: "only one burst of attempts ever touched it" });
  }
  return flags;
}
