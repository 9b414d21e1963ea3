import { authenticationFields, type InferenceRoute } from "../../../inference/route.ts";
import type { Mask } from "../credentials/mask.ts";

/** Of every request; whatever else a program sends stays here, its own keys above all. */
const PASSED = ["content-type", "accept", "user-agent"] as const;
/** Parameters of a URL that providers give a meaning: versions of an interface, pages of a list. */
const PASSED_PARAMETERS: ReadonlySet<string> = new Set(["beta", "limit", "after", "after_id", "before_id", "order"]);

/**
 * The header fields that the provider gets: what is on the list of its type, our credential, its defaults. Answers are asked for without
 * compression, so that tokens can be counted and nothing is held back to be compressed.
 */
export function requestFields(asked: Headers, route: InferenceRoute): Record<string, string> {
  const fields: Record<string, string> = { "accept-encoding": "identity" };
  for (const name of [...PASSED, ...route.provider.passedFields]) {
    const value = asked.get(name);
    if (value !== null) fields[name] = value;
  }
  for (const [name, value] of Object.entries(route.provider.defaultFields)) fields[name] ??= value;
  fields["user-agent"] ??= "openshell";
  return { ...fields, ...authenticationFields(route) };
}

/** The query that the provider gets; with its question mark, or empty. */
export function requestQuery(asked: URLSearchParams): string {
  const kept = [...asked].filter(([name]) => PASSED_PARAMETERS.has(name));
  return kept.length === 0 ? "" : `?${new URLSearchParams(kept)}`;
}

/** Between the provider and us, or about the provider's own host, which the program never speaks to. */
const DROPPED: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "content-length",
  "set-cookie",
  "alt-svc",
  "strict-transport-security",
  "location",
  "date",
]);

/** The header fields of the provider's answer that the program gets, with the credential hidden. */
export function answerFields(given: Headers, mask: Mask | undefined): Headers {
  const kept = [...given].filter(([name]) => !DROPPED.has(name)).map(([name, value]) => ({ name, lower: name, value }));
  return new Headers((mask?.fields(kept) ?? kept).map(({ name, value }): [string, string] => [name, value]));
}
