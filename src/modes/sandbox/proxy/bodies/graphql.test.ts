import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { Dice } from "../../../../policy/dice.test-support.ts";
import type { Field } from "../http1/fields.ts";
import { readQuery } from "../http1/query.ts";
import { MAX_GRAPHQL_DEPTH, MAX_GRAPHQL_OPERATIONS, MAX_GRAPHQL_TOKENS } from "./graphql-document.ts";
import { readNeeded } from "./read-body.ts";

const FIELDS: readonly Field[] = [{ name: "Content-Type", lower: "content-type", value: "application/json" }];

function send(method: string, url: string, body: string) {
  const query = readQuery(url);
  const request = { fields: FIELDS, query: url, body: method === "GET" ? ({ kind: "none" } as const) : ({ kind: "chunked" } as const) };
  const result = readNeeded({ protocol: "graphql", maxBodyBytes: 65_536 }, request, { method, query }, Buffer.from(body));
  if (result.kind === "collect") throw new Error("more than the whole body");
  return result.kind === "read" ? result.facts : { refused: result.code, status: result.status };
}
const post = (body: unknown, url = "") => send("POST", url, typeof body === "string" ? body : JSON.stringify(body));
const get = (url: string) => send("GET", url, "");
const document = (query: string) => post({ query });
const operation = (type: string, name: string, ...fields: string[]) => ({ type, name, fields });
const graphql = (...operations: object[]) => ({ graphql: operations }) as never;

describe("operations and their root fields", () => {
  for (const [why, query, expected] of [
    ["short form", "{ me { id } you }", [operation("query", "", "me", "you")]],
    [
      "names",
      "query Q { a } mutation M($x: Int = 1) @d { b(x: $x) { c } } subscription S { d }",
      [operation("query", "Q", "a"), operation("mutation", "M", "b"), operation("subscription", "S", "d")],
    ],
    ["aliases do not count", "{ viewer: deleteRepo deleteRepo: viewer }", [operation("query", "", "deleteRepo", "viewer")]],
    ["inline fragments", "{ a ... { b ... on Query { c } } ... @skip(if: true) { d } }", [operation("query", "", "a", "d", "b", "c")]],
    [
      "fragments of fragments, in any order",
      "fragment A on Query { a ...B } mutation { ...A x } fragment B on Query { b ...A }",
      [operation("mutation", "", "x", "a", "b")],
    ],
    ["comments and block strings hide nothing", '{ # }\n a(text: """ } mutation { b } """) }', [operation("query", "", "a")]],
    ["a byte order mark is a blank there", "\ufeff{ a }", [operation("query", "", "a")]],
    ["the same field once", "{ a a b: a }", [operation("query", "", "a")]],
  ] as const) {
    test(why, () => expect(document(query)).toEqual(graphql(...expected)));
  }

  test("operationName chooses nothing, and variables are not looked at", () => {
    const body = { query: "query A { a } mutation B { b }", operationName: "A", variables: { query: "x", Query: [1] }, extensions: null };
    expect(post(body)).toEqual(graphql(operation("query", "A", "a"), operation("mutation", "B", "b")));
  });

  test("every request of a batch", () => {
    expect(post([{ query: "{ a }" }, { query: "mutation { b }" }])).toEqual(
      graphql(operation("query", "", "a"), operation("mutation", "", "b")),
    );
  });

  test("fragments that double with each level cost what they are long", () => {
    const levels = Array.from({ length: 400 }, (_, n) => `fragment F${n} on Q { ...F${n + 1} ...F${n + 1} }`).join(" ");
    expect(document(`{ ...F0 } ${levels} fragment F400 on Q { a }`)).toEqual(graphql(operation("query", "", "a")));
  });
});

describe("documents that cannot be read", () => {
  for (const [why, query] of [
    ["nothing", " "],
    ["no end", "{ a "],
    ["only a fragment", "fragment A on Q { a }"],
    ["an unknown fragment", "{ ...Nowhere }"],
    ["a fragment twice", "{ ...A } fragment A on Q { a } fragment A on Q { b }"],
    ["a schema", "{ a } type Query { b: Int }"],
    ["an extension of a schema", "{ a } extend type Query { b: Int }"],
    ["an empty selection", "{ }"],
    ["a control character", "{ a\u0007 }"],
    ["an unknown operation", "upsert { a }"],
  ] as const) {
    test(why, () => expect(document(query)).toMatchObject({ refused: "graphql_document", status: 400 }));
  }

  test("more brackets or tokens than are read", () => {
    const deep = (levels: number) => "{a".repeat(levels) + "}".repeat(levels);
    expect(document(deep(MAX_GRAPHQL_DEPTH))).toHaveProperty("graphql");
    expect(document(deep(MAX_GRAPHQL_DEPTH + 1))).toMatchObject({ refused: "graphql_document", status: 413 });
    expect(document(`{ a(x: ${"[".repeat(100_000)}`)).toMatchObject({ status: 413 });
    expect(document(`{ ${"a ".repeat(MAX_GRAPHQL_TOKENS)} }`)).toMatchObject({ status: 413 });
  });
});

describe("stored operations", () => {
  const hash = createHash("sha256").update("{ a }").digest("hex");
  const extensions = (sha256Hash: unknown) => ({ persistedQuery: { version: 1, sha256Hash } });
  test("by hash, by id and by document id", () => {
    expect(post({ extensions: extensions("abc") })).toEqual(graphql({ persisted: "abc" }));
    expect(post({ id: "abc", operationName: "Q" })).toEqual(graphql({ persisted: "abc" }));
    expect(post({ documentId: "sha256:abc", query: null })).toEqual(graphql({ persisted: "sha256:abc" }));
  });
  test("beside a document the hash is of that document, or counts as well", () => {
    expect(post({ query: "{ a }", extensions: extensions(hash) })).toEqual(graphql(operation("query", "", "a")));
    expect(post({ query: "{ a }", extensions: extensions("feed") })).toEqual(graphql(operation("query", "", "a"), { persisted: "feed" }));
    expect(post({ query: "{ a }", id: hash })).toEqual(graphql(operation("query", "", "a"), { persisted: hash }));
  });
  test("whose id is no text", () => {
    expect(post({ extensions: extensions(7) })).toMatchObject({ refused: "graphql_shape" });
    expect(post({ extensions: extensions(undefined) })).toMatchObject({ refused: "graphql_shape" });
    expect(post({ id: 7 })).toMatchObject({ refused: "graphql_shape" });
  });
});

describe("requests that have a second reading", () => {
  for (const [why, body, code] of [
    ["no object", "7", "graphql_shape"],
    ["a raw document", "{ a }", "json_syntax"],
    ["an empty batch", "[]", "graphql_shape"],
    ["nothing to do", '{"operationName":"a"}', "graphql_shape"],
    ["a query that is no text", '{"query":["{a}"]}', "graphql_shape"],
    ["the query twice", '{"query":"{a}","query":"mutation{b}"}', "json_duplicate"],
    ["the query once more in capitals", '{"query":"{a}","QUERY":"mutation{b}"}', "json_name"],
    ["another way to choose a stored one", '{"query":"{a}","doc_id":"7"}', "graphql_shape"],
    ["extensions in capitals", '{"query":"{a}","Extensions":{}}', "json_name"],
    ["a stored one in capitals", '{"query":"{a}","extensions":{"persistedquery":{}}}', "json_name"],
  ] as const) {
    test(why, () => expect(post(body)).toMatchObject({ refused: code }));
  }

  for (const url of [
    "query=mutation{b}",
    "Query={b}",
    "query[]={b}",
    "documentId=7",
    "document_id=7",
    "doc_id=7",
    "extensions={}",
    "variables={}",
  ]) {
    test(`a POST whose URL says ${url}`, () => expect(post({ query: "{ a }" }, url)).toMatchObject({ refused: "graphql_url" }));
  }
  test("other parameters of the URL do not matter", () => {
    expect(post({ query: "{ a }" }, "tenant=1&id=7")).toEqual(graphql(operation("query", "", "a")));
  });

  test("more operations than are accepted", () => {
    const batch = (count: number) => Array.from({ length: count }, () => ({ query: "{a}" }));
    expect(post(batch(MAX_GRAPHQL_OPERATIONS))).toHaveProperty("graphql");
    expect(post(batch(MAX_GRAPHQL_OPERATIONS + 1))).toMatchObject({ refused: "graphql_batch", status: 413 });
  });
});

describe("GET", () => {
  test("has its request in the URL", () => {
    expect(get("query=mutation%7Bb%7D&operationName=x&tenant=1")).toEqual(graphql(operation("mutation", "", "b")));
    expect(get("extensions=%7B%22persistedQuery%22%3A%7B%22sha256Hash%22%3A%22abc%22%7D%7D")).toEqual(graphql({ persisted: "abc" }));
    expect(get("id=abc")).toEqual(graphql({ persisted: "abc" }));
  });
  for (const url of [
    "query={a}&query={b}",
    "QUERY={a}",
    "query={a}&query[]={b}",
    "query={a}&queryId=7",
    "query={a}&id=1&id=2",
    "query={a}&x=1;query=mutation{b}",
    "query.={a}",
  ]) {
    test(`with two readings: ${url}`, () => expect(get(url)).toMatchObject({ refused: "graphql_url" }));
  }
  test("without a query", () => {
    expect(get("")).toMatchObject({ refused: "graphql_shape" });
    expect(get("query=")).toMatchObject({ refused: "graphql_shape" });
    expect(get("query={a}&extensions={")).toMatchObject({ refused: "json_syntax" });
  });
});

test("mutated requests are read or refused, never worse", () => {
  const dice = new Dice(0x6ea1);
  const seed = JSON.stringify({
    query: 'query Q($a: [Int!]! = [1]) { a: b(c: {d: "e"}) @f { ...G } } fragment G on T { h }',
    variables: { a: 1 },
  });
  const pieces = [...'{}[]()!$@:."\\#,\n', "...", "fragment ", "mutation ", '\\"\\"\\"', "query", "on "];
  for (let n = 0; n < 5_000; n++) {
    const text = [...seed];
    for (const _ of dice.some(4, () => 0)) text.splice(dice.below(text.length), dice.below(4), dice.pick(pieces));
    post(text.join(""));
  }
});
