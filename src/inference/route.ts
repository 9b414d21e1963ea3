import { readAwsKey } from "./aws-key.ts";
import type { Protocol } from "./protocols.ts";
import type { ProviderType } from "./provider-types.ts";

/** The name programs reach their model at, and of the route that serves it. */
export const DEFAULT_ROUTE = "inference.local";
/** The route of the supervisor's own questions; requests of programs never see it. */
export const SYSTEM_ROUTE = "sandbox-system";

/** Milliseconds until a provider's answer begins, when a route says nothing. */
export const DEFAULT_TIMEOUT_MS = 60_000;
/** Seconds; a person waits no longer, and a forgotten digit should not keep a connection for a day. */
export const MAX_TIMEOUT_SECONDS = 3600;
/** An id of a model; the longest in use (ARNs of AWS) have 2,048. */
export const MAX_MODEL_CHARACTERS = 2048;

/** Where requests of some protocols go, and what they are given on the way. */
export interface InferenceRoute {
  readonly name: string;
  readonly provider: ProviderType;
  readonly baseUrl: URL;
  readonly model: string;
  readonly protocols: readonly Protocol[];
  /** Never in logs, answers or events. Empty: the provider asks for none. */
  readonly key: string;
  readonly timeoutMs: number;
  /** The model is named in the path, not in the body. */
  readonly modelInPath: boolean;
  /** Instead of the path of the request. */
  readonly requestPath?: string;
}

/** A version in the path of a base URL: it is the one of the API, whatever the path of the request says. */
const VERSION_SEGMENT = /\/v\d+[a-z0-9]*(?:\/|$)/;

/**
 * Where a request goes. Base URLs are given as SDKs take them, with the version or without: `https://h/v1` and `https://h` with
 * `/v1/models` are one address.
 * @param path canonical, beginning with a slash
 */
export function routeUrl(route: Pick<InferenceRoute, "baseUrl" | "model" | "requestPath">, path: string, query = ""): URL {
  const url = new URL(route.baseUrl);
  const base = url.pathname.replace(/\/+$/, "");
  const asked = route.requestPath ?? path.replace(/^\/model\/[^/]+/, `/model/${encodeURIComponent(route.model)}`);
  url.pathname = base + (VERSION_SEGMENT.test(base) && asked.startsWith("/v1/") ? asked.slice(3) : asked);
  url.search = query;
  return url;
}

/** Base URLs that a route may have: HTTP, or canned answers for tests; no user, query or fragment. Undefined: not one of them. */
export function readBaseUrl(text: string): URL | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (!["https:", "http:", "mock:"].includes(url.protocol) || url.username || url.password || url.search || url.hash) return undefined;
  return url.protocol !== "mock:" && url.hostname === "" ? undefined : url;
}

/** The header fields that say who pays. */
export function authenticationFields({ provider, key }: Pick<InferenceRoute, "provider" | "key">): Readonly<Record<string, string>> {
  // A key of AWS signs; whoever sends the request does that last.
  if (key === "" || readAwsKey(key) !== undefined) return {};
  return provider.authentication === "x-api-key" ? { "x-api-key": key } : { authorization: `Bearer ${key}` };
}

/** Visible ASCII without blanks: nothing else can be a header field's value in every client and server. */
export function isSendableKey(key: string): boolean {
  return /^[\x21-\x7e]{1,8192}$/.test(key);
}
