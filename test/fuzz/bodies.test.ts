/** The readers of bodies: JSON, GraphQL, JSON-RPC, SQL, and the model of an inference request. */
import { overrideModel } from "../../src/modes/sandbox/inference/model-override.ts";
import { readGraphqlBody, readGraphqlUrl } from "../../src/modes/sandbox/proxy/bodies/graphql.ts";
import { readGraphqlDocument } from "../../src/modes/sandbox/proxy/bodies/graphql-document.ts";
import { readRpcBody } from "../../src/modes/sandbox/proxy/bodies/rpc.ts";
import { isJsonObject, type Json, readStrictJson } from "../../src/modes/sandbox/proxy/bodies/strict-json.ts";
import { BodyError } from "../../src/modes/sandbox/proxy/bodies/unreadable.ts";
import { commandsOf, MAX_STATEMENTS } from "../../src/modes/sandbox/proxy/sql/statements.ts";
import { fuzz, holds, same } from "./fuzz.ts";

const JSON_WORDS = [
  '"',
  "\\",
  "\\u0041",
  "\\ud800",
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  "null",
  "1e999",
  "-0",
  "__proto__",
  "\ufeff",
  "//",
  "\xff",
  '"a":1,',
];

fuzz({
  name: "strict JSON reads what JSON.parse reads, or refuses",
  seeds: ['{"a":[1,-2.5e3,true,false,null,"x\\n\\u00e9"],"b":{"c":{}}}', "[]", '"text"', "0", '{"a":1,"a":2}', '{"__proto__":{"x":1}}'],
  words: JSON_WORDS,
  run(input) {
    const read = unlessRefused(() => readStrictJson(input));
    if (read === undefined) return;
    same("JSON.parse", plain(read.value), JSON.parse(input.toString("utf8")));
  },
});

const GRAPHQL_WORDS = [
  "query ",
  "mutation ",
  "subscription ",
  "fragment F on T ",
  "...F",
  "... on T ",
  "{ a }",
  "@skip(if: true)",
  '"""',
  "#",
  "$v",
  "a: b",
  "(x: 1)",
];
fuzz({
  name: "GraphQL documents",
  seeds: [
    "{ viewer { login } }",
    "query Q($a: Int = 1) { a: b(x: $a) @include(if: true) { ...F ... on T { c } } } fragment F on T { d }",
    'mutation { createIssue(input: {title: "x"}) { id } } subscription S { events }',
    "fragment F on T { ...G } fragment G on T { ...F } { ...F }",
  ],
  words: GRAPHQL_WORDS,
  run(input) {
    const read = unlessRefused(() => readGraphqlDocument(input.toString("utf8")));
    if (read === undefined) return;
    same(
      "a second time",
      unlessRefused(() => readGraphqlDocument(input.toString("utf8"))),
      read,
    );
    for (const { fields } of read.value)
      holds(
        "names",
        fields.every((field) => /^[_A-Za-z][_0-9A-Za-z]*$/.test(field)),
      );
  },
});

fuzz({
  name: "GraphQL requests",
  seeds: [
    '{"query":"{ a }","operationName":null,"variables":{"x":1}}',
    '[{"query":"mutation M { b }","operationName":"M"},{"query":"{ c }"}]',
    `{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"${"0a".repeat(32)}"}}}`,
    '{"id":"stored","query":"query { a }"}',
  ],
  words: [...JSON_WORDS, ...GRAPHQL_WORDS],
  run(input) {
    unlessRefused(() => readGraphqlBody(input, {}));
    unlessRefused(() => readGraphqlUrl({ query: [input.toString("utf8")] }));
  },
});

fuzz({
  name: "JSON-RPC and MCP requests",
  seeds: [
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_file","arguments":{"path":"/a"}}}',
    '[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","method":"notifications/b"}]',
    '{"jsonrpc":"2.0","id":1,"result":{}}',
    '{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}',
  ],
  words: [...JSON_WORDS, '"method":"x",', '"jsonrpc":"2.0",', '"params":[],', "tools/call"],
  run(input) {
    for (const protocol of ["json-rpc", "mcp"] as const) unlessRefused(() => readRpcBody(input, protocol));
  },
});

fuzz({
  name: "SQL statements",
  seeds: [
    "select 1; insert into a values ('x;y'); -- ; \n drop table b",
    "do $tag$ begin; end $tag$; select \"a;b\", e'\\';', /* ; /* ; */ */ 2",
    "create function f() returns int begin atomic select 1; select 2; end; commit",
  ],
  words: ["'", '"', "$$", "$a$", "--", "/*", "*/", ";", "(", ")", "begin atomic", "end", "e'\\'", "\n"],
  run(input) {
    const { commands, more } = commandsOf(input.toString("latin1"));
    holds("a limited number", commands.length <= MAX_STATEMENTS && (commands.length === MAX_STATEMENTS || !more));
    holds(
      "words in capitals",
      commands.every((command) => command === command.toUpperCase()),
    );
  },
});

fuzz({
  name: "the model of an inference request",
  seeds: [
    '{"model":"a","messages":[{"role":"user","content":"x"}],"n":1.50}',
    '{"messages":[]}',
    '{"a":{"model":"b"},"model":"c"}',
    '{"mod\\u0065l":"d"}',
  ],
  words: [...JSON_WORDS, '"model":"x",', '"mod\\u0065l":1,'],
  run(input) {
    const text = input.toString("utf8");
    const changed = overrideModel(text, "ours");
    if ("problem" in changed) return;
    same("all else stays", JSON.parse(changed.body), { ...JSON.parse(text), model: "ours" });
  },
});

/** In a wrapper, since `null` is JSON too. */
function unlessRefused<Value>(read: () => Value): { readonly value: Value } | undefined {
  try {
    return { value: read() };
  } catch (error) {
    if (error instanceof BodyError) return undefined;
    throw error;
  }
}

function plain(value: Json): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (!isJsonObject(value)) return value;
  // As JSON.parse does it: `__proto__` is a name like others.
  const object: Record<string, unknown> = {};
  for (const [name, item] of value)
    Object.defineProperty(object, name, { value: plain(item), enumerable: true, configurable: true, writable: true });
  return object;
}
