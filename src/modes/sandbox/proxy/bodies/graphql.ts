import { createHash } from "node:crypto";
import type { GraphqlFacts, QueryFacts } from "../../../../engine/decision.ts";
import { MAX_GRAPHQL_OPERATIONS, readGraphqlDocument } from "./graphql-document.ts";
import { knownNames, requireExactNames } from "./known-names.ts";
import { isJsonObject, type Json, type JsonObject, readStrictJson, readStrictJsonText } from "./strict-json.ts";
import { BodyError } from "./unreadable.ts";

/** A form, a raw document or a multipart body has readings of its own at some servers. */
export const GRAPHQL_CONTENT_TYPES: ReadonlySet<string> = new Set(["application/json", "application/graphql+json"]);

/** What a request may say. Anything else may choose a stored operation by a name that we do not know. */
const REQUEST = knownNames("query", "operationName", "variables", "extensions", "id", "documentId");
const EXTENSIONS = knownNames("persistedQuery");
const PERSISTED = knownNames("version", "sha256Hash");

/** Parameters of a URL that servers are known to read, without regard to case and to what is neither letter nor digit. */
const URL_PARAMETERS: ReadonlyMap<string, string> = new Map(
  ["query", "operationName", "variables", "extensions", "documentId"].map((name) => [name.toLowerCase(), name]),
);
/** Other names for a stored operation. A plain `id` means something else in most URLs, so it counts beside an operation alone. */
const STORED_URL_PARAMETERS: ReadonlySet<string> = new Set(["docid", "queryid", "operationid", "persistedquery", "sha256hash", "hash"]);

/**
 * Every operation of a POST body, one request or a batch.
 * @throws BodyError
 */
export function readGraphqlBody(body: Uint8Array, urlQuery: QueryFacts): readonly GraphqlFacts[] {
  // express-graphql and others let the URL win over the body.
  const [shadowing] = parametersOf(urlQuery).keys();
  if (shadowing !== undefined) throw new BodyError(400, "graphql_url", `the URL has '${shadowing}', which some servers prefer to the body`);
  const value = readStrictJson(body);
  const requests = Array.isArray(value) ? (value as readonly Json[]) : [value as Json];
  if (requests.length === 0) throw new BodyError(400, "graphql_shape", "the batch is empty");
  const operations = requests.flatMap(readGraphqlRequest);
  if (operations.length > MAX_GRAPHQL_OPERATIONS)
    throw new BodyError(413, "graphql_batch", `${operations.length} operations, at most ${MAX_GRAPHQL_OPERATIONS} are accepted`);
  return operations;
}

/**
 * The operations of a GET, which are in its URL.
 * @throws BodyError
 */
export function readGraphqlUrl(urlQuery: QueryFacts): readonly GraphqlFacts[] {
  const request = new Map<string, Json>();
  for (const [name, value] of parametersOf(urlQuery)) {
    if (name === "extensions" || name === "variables") request.set(name, value === "" ? null : readStrictJsonText(value));
    else request.set(name, value);
  }
  const [id, ...more] = Object.hasOwn(urlQuery, "id") ? (urlQuery["id"] ?? []) : [];
  if (more.length > 0) throw new BodyError(400, "graphql_url", "the URL has 'id' more than once");
  if (id !== undefined) request.set("id", id);
  return readGraphqlRequest(request);
}

/** By their exact names, each once; what is nearly one of them is refused. */
function parametersOf(urlQuery: QueryFacts): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [name, values] of Object.entries(urlQuery)) {
    const plain = name
      .normalize("NFKC")
      .replace(/[^\p{L}\p{N}]/gu, "")
      .toLowerCase();
    if (STORED_URL_PARAMETERS.has(plain)) throw new BodyError(400, "graphql_url", `the URL may choose a stored operation by '${plain}'`);
    const known = [...URL_PARAMETERS].find(([lower]) => plain === lower || name.toLowerCase().startsWith(`${lower}[`))?.[1];
    if (known === undefined) continue;
    const [value, ...more] = values;
    if (known !== name || value === undefined || more.length > 0)
      throw new BodyError(400, "graphql_url", `the URL has '${known}' more than once, or spelled in another way`);
    found.set(name, value);
  }
  return found;
}

/**
 * The operations of one request: of its document, and the stored one that it names.
 * @throws BodyError
 */
export function readGraphqlRequest(request: Json): readonly GraphqlFacts[] {
  if (!isJsonObject(request)) throw shape("a request is not an object");
  requireExactNames(request, REQUEST);
  for (const name of request.keys()) {
    if (![...REQUEST.values()].includes(name)) throw shape(`a request may hold ${[...REQUEST.values()].join(", ")} alone`);
  }
  const query = textOf(request, "query");
  const operations: GraphqlFacts[] = query === undefined ? [] : [...readGraphqlDocument(query)];
  const hash = persistedHash(request.get("extensions"));
  for (const id of [textOf(request, "id"), textOf(request, "documentId"), hash]) {
    // A server that stores what it is sent checks this too; then the document says all.
    if (id === undefined || (id === hash && query !== undefined && sha256(query) === id.toLowerCase())) continue;
    operations.push({ persisted: id });
  }
  if (operations.length === 0) throw shape("a request has neither a query nor the id of a stored one");
  return operations;
}

function persistedHash(extensions: Json | undefined): string | undefined {
  if (extensions === undefined || extensions === null) return undefined;
  if (!isJsonObject(extensions)) throw shape("extensions is not an object");
  requireExactNames(extensions, EXTENSIONS);
  const persisted = extensions.get("persistedQuery");
  if (persisted === undefined || persisted === null) return undefined;
  if (!isJsonObject(persisted)) throw shape("persistedQuery is not an object");
  requireExactNames(persisted, PERSISTED);
  const hash = textOf(persisted, "sha256Hash");
  if (hash === undefined) throw shape("persistedQuery has no sha256Hash");
  return hash;
}

function textOf(object: JsonObject, name: string): string | undefined {
  const value = object.get(name);
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value !== "string") throw shape(`${name} is not text`);
  return value;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function shape(problem: string): BodyError {
  return new BodyError(400, "graphql_shape", `the GraphQL request cannot be read: ${problem}`);
}
