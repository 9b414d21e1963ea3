import type { Endpoint, Protocol } from "../policy/model.ts";

/** Who asks for what: the input of one connection decision. Paths are compared as exact strings. */
export interface ConnectionQuery {
  /** Lower-case, no trailing dot, no brackets. */
  readonly host: string;
  readonly port: number;
  /** The image that called connect(2). */
  readonly exe: string;
  /** Executables of the parent processes, nearest first. */
  readonly ancestors: readonly string[];
}

/** Machine code of a refusal. */
export type DenyCode = "malformed" | "no_policies" | "host_not_allowed" | "port_not_allowed" | "binary_not_allowed" | "engine_failure";

export type Decision =
  | {
      readonly allowed: true;
      /** Lexicographically smallest matching rule key. */
      readonly policy: string;
      /** Every matching endpoint, ordered by rule key and index. */
      readonly endpoints: readonly MatchedEndpoint[];
      readonly generation: number;
    }
  | {
      readonly allowed: false;
      readonly code: DenyCode;
      /** For people: `binary '/usr/bin/python3' not allowed in policy 'github'`. */
      readonly reason: string;
      readonly generation: number;
    };

export interface MatchedEndpoint {
  /** `<rule key>/<index>` */
  readonly id: string;
  readonly endpoint: Endpoint;
}

/** Decides connections and requests with the last good policy. Never throws: any failure is a refusal. */
export interface DecisionEngine {
  /** Counts successful loads; 0 before the first, when everything is refused. */
  readonly generation: number;
  decide(query: ConnectionQuery): Decision;
}

/** Decides what is asked inside connections, connection and request together under one policy generation. Never throws. */
export interface RequestEngine extends DecisionEngine {
  decideRequest(query: RequestQuery): RequestDecision;
}

/** One request inside a connection: the connection is decided again, so that a new policy counts from the next request on. */
export interface RequestQuery extends ConnectionQuery {
  readonly request: RequestFacts;
}

export type RequestFacts = HttpFacts | WebSocketTextFacts | SqlFacts;

/** The head of an HTTP request, and what its body asks for where a rule needs to know. */
export interface HttpFacts {
  readonly kind: "http";
  /** As sent; compared without regard to case. */
  readonly method: string;
  /** Canonical and without query: what is forwarded. `%2F` stays; endpoints that do not accept it refuse. `*` with OPTIONS. */
  readonly path: string;
  /** Decoded names and all their values, in order. */
  readonly query: QueryFacts;
  readonly splitQuery?: SplitQuery;
  /** What the client wants to change to; every other upgrade is refused before this question. */
  readonly upgrade: "" | "websocket";
  /** Every operation of the body, when `needs` asked for them. */
  readonly graphql?: readonly GraphqlFacts[];
  /** Every message of the body (one, or a batch), when `needs` asked for them. */
  readonly rpc?: readonly RpcFacts[];
}

export type QueryFacts = Readonly<Record<string, readonly string[]>>;

/**
 * The query as servers read it that take `;` for a separator beside `&`. Absent where that makes no difference. Deny rules hold for it as well; allow
 * rules do not look at it.
 */
export type SplitQuery = QueryFacts;

/** A text message of the client after an upgrade, with path and query of the upgrade request. */
export interface WebSocketTextFacts {
  readonly kind: "websocket_text";
  readonly path: string;
  readonly query: QueryFacts;
  readonly splitQuery?: SplitQuery;
  /** What a GraphQL message (`subscribe`, `start`) asks for; absent when the message is none. */
  readonly graphql?: readonly GraphqlFacts[];
}

/** One statement. */
export interface SqlFacts {
  readonly kind: "sql";
  /** First keyword: `SELECT`. */
  readonly command: string;
}

/** One operation: its type, its name (empty when it has none) and its root fields without aliases; or the id of a persisted one. */
export type GraphqlFacts =
  | { readonly type: "query" | "mutation" | "subscription"; readonly name: string; readonly fields: readonly string[] }
  | { readonly persisted: string };

/** One call with its `params.name` when that is text, or a response that the client sends. */
export type RpcFacts = { readonly method: string; readonly name?: string } | { readonly response: true };

/** Machine code of an answer about a request that is not a plain `allow`. */
export type RequestCode =
  | DenyCode
  /** No rule allows it. */
  | "request_not_allowed"
  /** A deny rule names it. */
  | "request_denied"
  /** No endpoint of the connection speaks of this path. */
  | "path_not_covered"
  /** `%2F` in the path, and the endpoint does not accept that. */
  | "encoded_slash"
  /** The answer depends on the body: parse it as `needs` says and ask again. */
  | "body_needed"
  /** The connection matches endpoints of different protocols for this path. */
  | "protocol_ambiguous";

export interface RequestDecision {
  /** `audit`: not allowed, and let through with a log entry because the endpoint only audits. */
  readonly action: "allow" | "audit" | "deny";
  /** Absent when allowed. */
  readonly code?: RequestCode;
  /** For people: `POST /repos not permitted by policy 'github'`. Empty when allowed. */
  readonly reason: string;
  /** Key of the rule that allowed, denied or governs; absent when the connection itself is refused. */
  readonly policy?: string;
  /** The endpoint of that rule, `<rule key>/<index>`, with its settings. */
  readonly endpointId?: string;
  readonly endpoint?: Endpoint;
  /** What no rule offers, as it goes into the body of the refusal. Absent for a deny rule, which no allow rule overrides. */
  readonly ruleMissing?: RuleMissing;
  /** With code `body_needed`. A body that is longer or cannot be parsed is to be refused, also under `audit`. */
  readonly needs?: { readonly protocol: "graphql" | "json-rpc" | "mcp"; readonly maxBodyBytes: number };
  readonly generation: number;
}

/** Keys as in the JSON body. */
export interface RuleMissing {
  /** `rest_allow`, `graphql_allow`, …; `network_allow` of a connection. */
  readonly type: string;
  readonly layer: "l4" | "l7";
  readonly method: string;
  /** Empty where none was named. */
  readonly path: string;
  readonly host: string;
  readonly port: number;
  readonly binary: string;
}

/** What a relay has to do with an allowed connection. */
export interface Inspection {
  /** Requests are decided one by one. Otherwise requests pass as they are. */
  readonly inspected: boolean;
  /** Protocols of the matching endpoints, sorted, without plain ones. */
  readonly protocols: readonly Protocol[];
  /** `skip`: TLS passes untouched; `terminate`: TLS is ended here. */
  readonly tls: "skip" | "terminate";
  /** Bytes in which no requests can be seen (another protocol, TLS under `skip`): passed, passed with a log entry, or refused. */
  readonly opaque: "relay" | "audit" | "refuse";
}
