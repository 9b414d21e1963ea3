import { existsSync } from "node:fs";
import { join } from "node:path";
import { OpenShellError } from "../../../error.ts";
import { DEFAULT_GATEWAY_PORT, systemGatewayDirectory } from "../../../paths.ts";
import { activeGateway, checkGatewayName, findRegistration, listRegistrations, userGatewayDirectory } from "./registry.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Which gateway to talk to. */
export interface GatewayTarget {
  readonly name: string;
  readonly endpoint: string;
  /** Where `mtls/` and `last_sandbox` are. */
  readonly directory: string;
}

/** How a person starts a gateway; the next step of every "no gateway" error. */
export const START_GATEWAY = "openshell gateway serve";

/** True for addresses that only this machine can reach. */
export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || hostname === "::1" || /^127(\.\d{1,3}){3}$/.test(hostname);
}

/** Checks an endpoint: http or https, and cleartext only where nobody can listen in. */
export function checkEndpoint(endpoint: string): URL {
  let url: URL;
  try {
    url = new URL(endpoint.includes("://") ? endpoint : `https://${endpoint}`);
  } catch (cause) {
    throw new OpenShellError("invalid_argument", `gateway endpoint '${endpoint}' is not a URL`, {
      cause,
      next: `write it like https://127.0.0.1:${DEFAULT_GATEWAY_PORT}`,
    });
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new OpenShellError(
      "invalid_argument",
      `gateway endpoint '${endpoint}' has scheme '${url.protocol}', expected https:// or http://`,
    );
  }
  if (url.username !== "" || url.password !== "") {
    throw new OpenShellError("invalid_argument", "a gateway endpoint must not contain a user name or password");
  }
  if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    throw new OpenShellError("invalid_argument", `gateway endpoint '${endpoint}' is cleartext, which is accepted on loopback only`, {
      next: "use https://",
    });
  }
  return url;
}

/** Directory name for an endpoint given bare: `openshell` on this machine, else its host with unusual characters replaced. */
function nameForEndpoint(url: URL): string {
  return isLoopback(url.hostname) ? "openshell" : url.hostname.replace(/[^A-Za-z0-9._-]/g, "_").replace(/^\./, "_");
}

function directoryFor(name: string, env: Environment): string {
  const user = join(userGatewayDirectory(env), name);
  const system = join(systemGatewayDirectory(env as NodeJS.ProcessEnv), name);
  return !existsSync(user) && existsSync(system) ? system : user;
}

function noGateway(env: Environment): OpenShellError {
  const registered = listRegistrations(env).map(({ name }) => name);
  if (registered.length === 0)
    return new OpenShellError("failed_precondition", "no gateway is running for you yet", { next: START_GATEWAY });
  return new OpenShellError("failed_precondition", `no gateway is selected (registered: ${registered.join(", ")})`, {
    next: `openshell gateway select ${registered[0]}`,
  });
}

/**
 * Finds the gateway: a direct endpoint, then a name, then the active one. Flags and their variables were merged before: `--gateway-endpoint`
 * or `OPENSHELL_GATEWAY_ENDPOINT`, `-g` or `OPENSHELL_GATEWAY`.
 */
export function findGateway(given: { endpoint?: string | undefined; name?: string | undefined }, env: Environment): GatewayTarget {
  if (given.endpoint) {
    const url = checkEndpoint(given.endpoint);
    const name = nameForEndpoint(url);
    return { name, endpoint: url.origin, directory: directoryFor(name, env) };
  }
  const name = given.name || activeGateway(env);
  if (name === undefined) throw noGateway(env);
  const found = findRegistration(checkGatewayName(name), env);
  if (found === undefined) {
    throw new OpenShellError("not_found", `gateway '${name}' is not registered`, {
      next: name === "openshell" ? START_GATEWAY : "openshell gateway list",
    });
  }
  return { name, endpoint: checkEndpoint(found.endpoint).origin, directory: found.directory };
}
