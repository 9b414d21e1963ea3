import type { Credential, CredentialEndpoint } from "./model.ts";

/** One request's server and canonical path, as policies see it. */
export interface Destination {
  /** Lower case. */
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** Providers that the policy's endpoint binds (`credential_binding`): then their credentials alone may be sent here, and those of no other. */
  readonly providers: readonly string[];
  /** The policy's endpoint signs requests (`credential_signing`): that says it is for the keys that sign, whosever they are. */
  readonly signs?: boolean;
}

/** Whether a credential may be sent to this server and path. */
export function isBoundTo({ endpoints, provider }: Credential, destination: Destination): boolean {
  const { providers, signs } = destination;
  if (providers.length > 0) return providers.every((name) => name === provider);
  if (signs === true) return true;
  return endpoints.some((endpoint) => serves(endpoint, destination) && matches(endpoint.path, destination.path));
}

/** Whether a credential of its own endpoints could be sent to this server at all. */
export function mayReach({ endpoints }: Credential, server: Pick<Destination, "host" | "port">): boolean {
  return endpoints.some((endpoint) => serves(endpoint, server));
}

function serves({ host, ports }: CredentialEndpoint, server: Pick<Destination, "host" | "port">): boolean {
  return (ports.length === 0 || ports.includes(server.port)) && hostMatches(host, server.host);
}

/** `*` within one label, `**` for one or more labels. */
function hostMatches(pattern: string, host: string): boolean {
  if (!pattern.includes("*")) return pattern !== "" && pattern === host;
  return compiled(pattern, "[^.]*", "[^.]+(?:\\.[^.]+)*").test(host);
}

/** `*` within one segment, `**` for any number of them: `/x/**` is `/x` as well. */
function matches(pattern: string, path: string): boolean {
  if (pattern === "" || pattern === "**" || pattern === "/**") return true;
  // A server that reads it as a slash reads another path.
  if (path.includes("%2F")) return false;
  if (!pattern.includes("*")) return pattern === path;
  return (
    compiled(pattern, "[^/]*", ".*").test(path) || (pattern.endsWith("/**") && compiled(pattern.slice(0, -3), "[^/]*", ".*").test(path))
  );
}

/** Few patterns exist, and each is used with every request. */
const COMPILED = new Map<string, RegExp>();
const MAX_COMPILED = 1024;

function compiled(pattern: string, one: string, many: string): RegExp {
  const name = `${one} ${pattern}`;
  const known = COMPILED.get(name);
  if (known !== undefined) return known;
  const source = pattern.replace(/\*+|[.+?^${}()|[\]\\/]/g, (part) => (part.startsWith("*") ? (part === "*" ? one : many) : `\\${part}`));
  const expression = new RegExp(`^${source}$`);
  if (COMPILED.size >= MAX_COMPILED) COMPILED.clear();
  COMPILED.set(name, expression);
  return expression;
}
