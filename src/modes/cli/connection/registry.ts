import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OpenShellError } from "../../../error.ts";
import { configDirectory, systemGatewayDirectory } from "../../../paths.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** How a gateway is registered for clients: the files of the published clients (`metadata.json`, `mtls/`), for one name. */
export interface Registration {
  readonly name: string;
  readonly endpoint: string;
  /** Holds `metadata.json` and `mtls/`. */
  readonly directory: string;
  /** Registered for every user of the machine; cannot be changed by the CLI. */
  readonly system: boolean;
  readonly authMode: string;
}

/** A gateway's name is a directory's name: letters, digits, `.`, `-` and `_`, not starting with a dot. */
const NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}$/;

/** Refuses names that could leave the registry's directory. */
export function checkGatewayName(name: string): string {
  if (NAME.test(name)) return name;
  throw new OpenShellError("invalid_argument", `gateway name '${name}' is not valid, expected letters, digits, '.', '-' or '_'`);
}

/** The user's own registrations. */
export function userGatewayDirectory(env: Environment): string {
  return join(configDirectory(env as NodeJS.ProcessEnv), "gateways");
}

/** Reads text, or nothing when there is no such file; other failures are errors that name the file. */
function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new OpenShellError("failed_precondition", `cannot read ${path}: ${code ?? "unknown error"}`, {
      cause,
      next:
        code === "EACCES"
          ? "ask the gateway's operator for access (members of the group 'openshell' have it)"
          : "check the file's permissions",
    });
  }
}

function readRegistration(name: string, directory: string, system: boolean): Registration | undefined {
  const path = join(directory, "metadata.json");
  const text = readIfThere(path);
  if (text === undefined) return undefined;
  let metadata: unknown;
  try {
    metadata = JSON.parse(text);
  } catch (cause) {
    throw new OpenShellError("failed_precondition", `${path} is not valid JSON`, { cause, next: `openshell gateway remove ${name}` });
  }
  const { gateway_endpoint: endpoint, auth_mode: authMode } = (metadata ?? {}) as Record<string, unknown>;
  if (typeof endpoint !== "string" || endpoint === "") {
    throw new OpenShellError("failed_precondition", `${path} has no gateway_endpoint`, { next: `openshell gateway remove ${name}` });
  }
  return { name, endpoint, directory, system, authMode: typeof authMode === "string" ? authMode : "mtls" };
}

/** One registration; the user's own shadows the system's. */
export function findRegistration(name: string, env: Environment): Registration | undefined {
  checkGatewayName(name);
  const user = readRegistration(name, join(userGatewayDirectory(env), name), false);
  return user ?? readRegistration(name, join(systemGatewayDirectory(env as NodeJS.ProcessEnv), name), true);
}

/** All registrations by name. */
export function listRegistrations(env: Environment): Registration[] {
  const names = new Set<string>();
  for (const directory of [userGatewayDirectory(env), systemGatewayDirectory(env as NodeJS.ProcessEnv)]) {
    if (!existsSync(directory)) continue;
    for (const entry of readdirSync(directory, { withFileTypes: true }))
      if (entry.isDirectory() && NAME.test(entry.name)) names.add(entry.name);
  }
  return [...names].sort().flatMap((name) => findRegistration(name, env) ?? []);
}

/** The name in `active_gateway`; empty counts as unset. */
export function activeGateway(env: Environment): string | undefined {
  return readIfThere(join(configDirectory(env as NodeJS.ProcessEnv), "active_gateway"))?.trim() || undefined;
}

/** Replaces a file at once, so that another client never reads half of it. */
function replaceFile(path: string, text: string, mode = 0o600): void {
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, text, { mode });
  renameSync(temporary, path);
}

/** Makes a gateway the active one. */
export function selectGateway(name: string, env: Environment): void {
  const directory = configDirectory(env as NodeJS.ProcessEnv);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  replaceFile(join(directory, "active_gateway"), `${checkGatewayName(name)}\n`);
}

/** PEM texts of a registration; without `cert` and `key` the connection is TLS without a client certificate. */
export interface ClientCertificates {
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Writes a registration of the user's own. */
export function addRegistration(
  name: string,
  endpoint: string,
  certificates: ClientCertificates | undefined,
  env: Environment,
): Registration {
  const directory = join(userGatewayDirectory(env), checkGatewayName(name));
  mkdirSync(join(directory, "mtls"), { recursive: true, mode: 0o700 });
  const url = new URL(endpoint);
  const authMode = certificates === undefined ? "plaintext" : "mtls";
  const files = { "ca.crt": certificates?.ca, "tls.crt": certificates?.cert, "tls.key": certificates?.key };
  for (const [file, text] of Object.entries(files)) if (text !== undefined) replaceFile(join(directory, "mtls", file), text);
  const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
  const metadata = { name, gateway_endpoint: endpoint, is_remote: false, gateway_port: port, auth_mode: authMode };
  replaceFile(join(directory, "metadata.json"), `${JSON.stringify(metadata, null, 2)}\n`);
  return { name, endpoint, directory, system: false, authMode };
}

/** Forgets a registration of the user's own, and unsets it when it was active. */
export function removeRegistration(name: string, env: Environment): void {
  const found = findRegistration(name, env);
  if (found === undefined) throw new OpenShellError("not_found", `gateway '${name}' is not registered`, { next: "openshell gateway list" });
  if (found.system) {
    throw new OpenShellError("failed_precondition", `gateway '${name}' is registered for the whole machine (${found.directory})`, {
      next: "its operator can remove that directory",
    });
  }
  rmSync(found.directory, { recursive: true });
  if (activeGateway(env) === name) rmSync(join(configDirectory(env as NodeJS.ProcessEnv), "active_gateway"));
}

/** The certificates beside a registration; nothing without `ca.crt`. Half a client pair counts as none. */
export function readCertificates(directory: string): ClientCertificates | undefined {
  const ca = readIfThere(join(directory, "mtls/ca.crt"));
  if (ca === undefined) return undefined;
  const cert = readIfThere(join(directory, "mtls/tls.crt"));
  const key = readIfThere(join(directory, "mtls/tls.key"));
  return cert === undefined || key === undefined ? { ca } : { ca, cert, key };
}
