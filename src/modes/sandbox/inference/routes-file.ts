import { readFileSync, statSync } from "node:fs";
import { OpenShellError, type Violation } from "../../../error.ts";
import { isProtocol, PROTOCOLS, type Protocol } from "../../../inference/protocols.ts";
import { PROVIDER_TYPE_NAMES, type ProviderType, providerType } from "../../../inference/provider-types.ts";
import {
  DEFAULT_ROUTE,
  DEFAULT_TIMEOUT_MS,
  type InferenceRoute,
  isSendableKey,
  MAX_MODEL_CHARACTERS,
  MAX_TIMEOUT_SECONDS,
  readBaseUrl,
  SYSTEM_ROUTE,
} from "../../../inference/route.ts";
import { readYaml } from "../../../policy/yaml-source.ts";
import { DEFAULT_INFERENCE_LIMITS, type InferenceLimits } from "./limits.ts";
import type { InferenceSettings } from "./service.ts";

/** Routes of one file; more than one for each protocol and the supervisor's own would never be used. */
const MAX_ROUTES = 32;
/** Beyond this a limit is none. */
const MAX_LIMIT = 1_000_000_000_000;

const ROUTE_KEYS = ["name", "endpoint", "model", "provider_type", "protocols", "api_key", "api_key_env", "timeout_secs"] as const;
const LIMIT_KEYS = {
  requests_per_minute: "requestsPerMinute",
  tokens_per_hour: "tokensPerHour",
  concurrent_requests: "concurrentRequests",
} as const satisfies Record<string, keyof InferenceLimits>;

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the file of `--inference-routes`. It holds keys, so nobody else may read it when it does, and nobody else may ever write it.
 * @throws OpenShellError `invalid_argument` with every violation and its line, `permission_denied` when others could read a key
 */
export function readRoutesFile(path: string, environment: Environment = process.env): InferenceSettings {
  let text: string;
  let mode: number;
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw new Error("not a regular file");
    mode = stat.mode;
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new OpenShellError("invalid_argument", `cannot read inference routes ${path}`, {
      cause,
      next: "name a readable YAML file with --inference-routes",
    });
  }
  const { settings, holdsKeys } = parse(text, environment, path);
  const forbidden = holdsKeys ? 0o077 : 0o022;
  if ((mode & forbidden) !== 0)
    throw new OpenShellError(
      "permission_denied",
      `${path} ${holdsKeys ? "holds keys and can be read" : "can be changed"} by others (mode ${(mode & 0o777).toString(8)})`,
      { next: `chmod 600 ${path}` },
    );
  return settings;
}

/** As `readRoutesFile`, of a text. `source` names it in errors. */
export function parseRoutes(text: string, environment: Environment, source: string): InferenceSettings {
  return parse(text, environment, source).settings;
}

function parse(
  text: string,
  environment: Environment,
  source: string,
): { readonly settings: InferenceSettings; readonly holdsKeys: boolean } {
  const yaml = readYaml(text);
  if (Array.isArray(yaml)) throw invalid(source, yaml);
  const reader = new RoutesReader(environment);
  const settings = reader.read(yaml.value);
  if (reader.violations.length === 0) return { settings, holdsKeys: reader.holdsKeys };
  throw invalid(
    source,
    reader.violations.map((violation) => ({ ...yaml.locate(violation.field), ...violation })),
  );
}

function invalid(source: string, violations: readonly Violation[]): OpenShellError {
  return new OpenShellError("invalid_argument", `inference routes ${source} are not valid`, { violations });
}

class RoutesReader {
  readonly violations: Violation[] = [];
  /** A key is written in the file itself. */
  holdsKeys = false;
  readonly #environment: Environment;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  read(value: unknown): InferenceSettings {
    const root = this.#mapping(value, "document");
    this.#onlyKeys(root, ["routes", "limits"], "");
    const list = root["routes"];
    if (!Array.isArray(list)) this.#violation("routes", "expected a list of routes");
    else if (list.length > MAX_ROUTES) this.#violation("routes", `${list.length} routes, at most ${MAX_ROUTES} are accepted`);
    const routes = (Array.isArray(list) ? list.slice(0, MAX_ROUTES) : []).flatMap(
      (entry: unknown, i) => this.#route(entry, `routes[${i}]`) ?? [],
    );
    return { routes, limits: this.#limits(root["limits"]) };
  }

  #route(value: unknown, at: string): InferenceRoute | undefined {
    const entry = this.#mapping(value, at);
    this.#onlyKeys(entry, ROUTE_KEYS, `${at}.`);
    const name = this.#text(entry, "name", at);
    if (name !== undefined && name !== DEFAULT_ROUTE && name !== SYSTEM_ROUTE && !/^[a-z0-9][a-z0-9._-]{0,62}$/.test(name))
      this.#violation(`${at}.name`, "expected lower-case letters, digits, '.', '_' and '-', at most 63");
    const endpoint = this.#text(entry, "endpoint", at);
    const baseUrl = endpoint === undefined ? undefined : readBaseUrl(endpoint);
    if (endpoint !== undefined && baseUrl === undefined)
      this.#violation(`${at}.endpoint`, "expected an http:// or https:// URL without user, query and fragment");
    const model = this.#text(entry, "model", at);
    if (model !== undefined && model.length > MAX_MODEL_CHARACTERS)
      this.#violation(`${at}.model`, `${model.length} characters, at most ${MAX_MODEL_CHARACTERS} are accepted`);
    const provider = this.#provider(entry, at);
    const protocols = this.#protocols(entry["protocols"], `${at}.protocols`);
    const key = this.#key(entry, at);
    const timeoutMs = this.#timeout(entry["timeout_secs"], `${at}.timeout_secs`);
    if (name === undefined || baseUrl === undefined || model === undefined || provider === undefined || key === undefined) return undefined;
    return { name, provider, baseUrl, model, protocols, key, timeoutMs, modelInPath: false };
  }

  #provider(entry: Entry, at: string): ProviderType | undefined {
    const name = entry["provider_type"] === undefined ? "openai" : this.#text(entry, "provider_type", at);
    const provider = name === undefined ? undefined : providerType(name);
    if (name !== undefined && provider === undefined)
      this.#violation(`${at}.provider_type`, `expected one of ${PROVIDER_TYPE_NAMES.join(", ")}, got ${JSON.stringify(name)}`);
    return provider;
  }

  #protocols(value: unknown, at: string): readonly Protocol[] {
    if (!Array.isArray(value) || value.length === 0) {
      this.#violation(at, `expected a list of at least one of ${PROTOCOLS.join(", ")}`);
      return [];
    }
    return value.flatMap((entry: unknown, i) => {
      if (typeof entry === "string" && isProtocol(entry)) return [entry];
      this.#violation(`${at}[${i}]`, `expected one of ${PROTOCOLS.join(", ")}, got ${JSON.stringify(entry)}`);
      return [];
    });
  }

  #key(entry: Entry, at: string): string | undefined {
    const given = ["api_key", "api_key_env"].filter((name) => entry[name] !== undefined);
    if (given.length !== 1) {
      this.#violation(given.length === 0 ? at : `${at}.api_key_env`, "expected either api_key or api_key_env");
      return undefined;
    }
    const [name = ""] = given;
    const written = this.#text(entry, name, at);
    if (name === "api_key") this.holdsKeys = true;
    const key = name === "api_key" || written === undefined ? written : this.#environment[written];
    if (written !== undefined && key === undefined) this.#violation(`${at}.${name}`, `the environment variable ${written} is not set`);
    else if (key !== undefined && !isSendableKey(key))
      this.#violation(`${at}.${name}`, "a key has visible ASCII characters only, at least one");
    else return key;
    return undefined;
  }

  #timeout(value: unknown, at: string): number {
    if (value === undefined || value === 0) return DEFAULT_TIMEOUT_MS;
    if (Number.isInteger(value) && Number(value) > 0 && Number(value) <= MAX_TIMEOUT_SECONDS) return Number(value) * 1000;
    this.#violation(at, `expected a whole number of seconds from 0 (the default, ${DEFAULT_TIMEOUT_MS / 1000}) to ${MAX_TIMEOUT_SECONDS}`);
    return DEFAULT_TIMEOUT_MS;
  }

  #limits(value: unknown): InferenceLimits {
    if (value === undefined) return DEFAULT_INFERENCE_LIMITS;
    const entry = this.#mapping(value, "limits");
    this.#onlyKeys(entry, Object.keys(LIMIT_KEYS), "limits.");
    const set: Partial<Record<keyof InferenceLimits, number>> = {};
    for (const [key, name] of Object.entries(LIMIT_KEYS)) {
      const limit = entry[key];
      if (limit === undefined) continue;
      if (Number.isInteger(limit) && Number(limit) >= 0 && Number(limit) <= MAX_LIMIT) set[name] = Number(limit);
      else this.#violation(`limits.${key}`, `expected a whole number from 0 (no limit) to ${MAX_LIMIT}`);
    }
    return { ...DEFAULT_INFERENCE_LIMITS, ...set };
  }

  #mapping(value: unknown, at: string): Entry {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Entry;
    this.#violation(at, "expected a mapping");
    return {};
  }

  #onlyKeys(entry: Entry, known: readonly string[], prefix: string): void {
    for (const key of Object.keys(entry))
      if (!known.includes(key)) this.#violation(`${prefix}${key}`, `unknown key, expected one of ${known.join(", ")}`);
  }

  #text(entry: Entry, key: string, at: string): string | undefined {
    const value = entry[key];
    if (typeof value === "string" && value !== "") return value;
    this.#violation(`${at}.${key}`, "expected text");
    return undefined;
  }

  #violation(field: string, message: string): void {
    this.violations.push({ field, message });
  }
}

type Entry = Readonly<Record<string, unknown>>;
