import type { GraphqlFacts, HttpFacts, RequestFacts, RpcFacts, WebSocketTextFacts } from "../../../engine/decision.ts";
import { escapeText } from "../../../events/escape.ts";
import type { HttpEvent } from "../../../events/event.ts";
import { MAX_COMMAND_LINE, sanitisePath } from "../../../events/sanitise.ts";
import { emptyRequestRule } from "../../../policy/defaults.ts";
import type { RequestRule } from "../../../policy/model.ts";
import { observedAs, PROPOSABLE_METHODS } from "../../../policy/request-evidence.ts";
import { MASKED_SEGMENT } from "../../../policy/request-template.ts";
import { CREDENTIAL_MASK } from "../credentials/placeholder.ts";

/** One thing that a denied request asked for, without secrets: what a rule could be about. */
export interface Asked {
  /** Of the endpoint that decided, with its path selector; both empty when none spoke of the path. */
  readonly protocol: string;
  readonly selector: string;
  /** Method, or what a rule about operations names (`mutation addStar`, `tools/call search`). */
  readonly method: string;
  readonly path: string;
  /** The narrowest rule that allows it, with the path as it was seen; or why no rule is proposed. */
  readonly rule: RequestRule | string;
  /** What the engine would be asked, of what has a rule; of the path, what is masked stays masked. */
  readonly facts: RequestFacts;
}

/** Operations and calls of one request that are looked at; a batch of more is a flood. */
const MAX_PARTS = 16;
/** Characters of what names one of them: it is kept and sent for each sample, and a document can ask for thousands of fields. */
const MAX_LABEL = MAX_COMMAND_LINE;
/** Names in the grammar of GraphQL, and of methods and tools as programs write them. */
const GRAPHQL_NAME = /^[_A-Za-z][_0-9A-Za-z]*$/;
const CALL_NAME = /^[\w./-]+$/;
/** What would make a path say more than itself, or not show what it says. */
const NOT_LITERAL = /[^\x21-\x7e]|[*?[\]{}\\]/;

/** Everything that a denied request asked for; empty for other events. */
export function askedBy(event: HttpEvent): Asked[] {
  const { asked } = event;
  if (asked === undefined) return [];
  const { protocol, selector } = asked;
  const shown = sanitisePath(withoutCredentials(pathOf(event.url)));
  const about = { protocol, selector, path: shown };
  const final = FINAL[event.code ?? ""];
  const method = event.method.toUpperCase();
  const http = (name: string, facts: RequestFacts): Asked => ({
    ...about,
    method: escapeText(name),
    facts,
    rule: final ?? literalProblem(shown, name) ?? { ...emptyRequestRule, method: name, path: shown },
  });
  if (method.startsWith("WEBSOCKET_")) {
    const facts = { kind: "websocket_text", path: shown, query: {} } as const;
    if (asked.graphql === undefined) return [http("WEBSOCKET_TEXT", facts)];
    return asked.graphql.slice(0, MAX_PARTS).map((one) => operation(one, facts, about, final));
  }
  const facts: HttpFacts = { kind: "http", method, path: shown, query: {}, upgrade: "" };
  if (asked.graphql !== undefined) return asked.graphql.slice(0, MAX_PARTS).map((one) => operation(one, facts, about, final));
  if (asked.rpc !== undefined) return asked.rpc.slice(0, MAX_PARTS).map((one) => call(one, facts, about, final));
  const request = http(method, { ...facts, upgrade: asked.upgrade ?? "" });
  // Messages of a WebSocket that nobody reads need a right of their own.
  if (asked.upgrade === undefined || protocol === "websocket") return [request];
  return [request, http("WEBSOCKET_TEXT", { kind: "websocket_text", path: shown, query: {} })];
}

/** Refusals that an added rule does not change, and what would. */
const FINAL: Readonly<Record<string, string>> = {
  request_denied: "a deny rule refuses it, and no other rule overrides that",
  encoded_slash: "its path has an encoded slash, which only a person may allow (allow_encoded_slash)",
  protocol_ambiguous: "endpoints of different protocols speak of it; a person must tell them apart",
};

function literalProblem(path: string, method: string): string | undefined {
  if (!PROPOSABLE_METHODS.has(method)) return "only GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE and messages of WebSockets are proposed";
  if (path.length > MAX_COMMAND_LINE) return "its path is too long to be read by a person";
  const literal = path.replaceAll(MASKED_SEGMENT, "");
  return NOT_LITERAL.test(literal) ? "its path holds pattern characters, or some that cannot be shown" : undefined;
}

type About = Pick<Asked, "protocol" | "selector" | "path">;

function operation(one: GraphqlFacts, facts: HttpFacts | WebSocketTextFacts, about: About, final: string | undefined): Asked {
  if ("persisted" in one)
    return { ...about, method: "persisted", facts, rule: final ?? "what a stored operation does is not known; a person may register it" };
  const fields = [...new Set(one.fields)].sort();
  const good = fields.length > 0 && fields.every((name) => GRAPHQL_NAME.test(name) && name.length <= 128);
  const rule = good ? { ...emptyRequestRule, operationType: one.type, fields } : "its fields are no names";
  return named({ ...about, method: one.type, facts, rule }, { ...facts, graphql: [one] }, final);
}

function call(one: RpcFacts, facts: HttpFacts, about: About, final: string | undefined): Asked {
  if ("response" in one) return { ...about, method: "response", facts, rule: final ?? "it is an answer, not a call" };
  const tool = about.protocol === "mcp" ? one.name : undefined;
  const good = [one.method, ...(tool === undefined ? [] : [tool])].every((name) => CALL_NAME.test(name) && name.length <= 128);
  const params: RequestRule["params"] = tool === undefined ? {} : { name: { glob: tool } };
  const rule = good ? { ...emptyRequestRule, method: one.method, params } : "its method is no plain name";
  return named({ ...about, method: "call", facts, rule }, { ...facts, rpc: [one] }, final);
}

/**
 * What is asked for, with its names, which are of the agent's choice: those that look like secrets, or are too many, are neither kept nor proposed.
 * `facts`: with the names.
 */
function named(unnamed: Asked, facts: RequestFacts, final: string | undefined): Asked {
  const { protocol, rule } = unnamed;
  if (typeof rule === "string") return { ...unnamed, rule: final ?? rule };
  const label = observedAs(protocol, rule)?.method ?? unnamed.method;
  if (label.length > MAX_LABEL) return { ...unnamed, rule: final ?? "its names are too many to be read by a person" };
  const secret = label.split(" ").some((word) => sanitisePath(word) !== word.replaceAll("\\", ""));
  if (secret) return { ...unnamed, rule: final ?? "a name in it looks like a secret" };
  return { ...unnamed, method: label, facts, rule: final ?? rule };
}

/** A segment that a credential is a part of is a secret as a whole: what stands for the credential is no text that a server sees. */
function withoutCredentials(path: string): string {
  if (!path.includes(CREDENTIAL_MASK)) return path;
  return path
    .split("/")
    .map((segment) => (segment.includes(CREDENTIAL_MASK) ? MASKED_SEGMENT : segment))
    .join("/");
}

/** The path of a URL that events show: no query, credentials masked already. */
export function pathOf(url: string): string {
  const start = url.indexOf("/", url.indexOf("://") + 3);
  return start < 0 ? "/" : url.slice(start);
}
