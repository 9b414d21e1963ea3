import { describe, expect, test } from "bun:test";
import type { Field } from "../http1/fields.ts";
import { type BodyNeeds, readNeeded } from "./read-body.ts";
import { MAX_RPC_BATCH } from "./rpc.ts";

const field = (name: string, value: string): Field => ({ name, lower: name.toLowerCase(), value });
const JSON_TYPE = [field("Content-Type", "application/json")];

function read(body: string, protocol: BodyNeeds["protocol"] = "mcp", fields: readonly Field[] = JSON_TYPE) {
  const needs: BodyNeeds = { protocol, maxBodyBytes: 65_536 };
  const request = { fields, query: undefined, body: { kind: "chunked" } } as const;
  const facts = { method: "POST", query: {} };
  const head = readNeeded(needs, request, facts, undefined);
  const result = head.kind === "collect" ? readNeeded(needs, request, facts, Buffer.from(body)) : head;
  if (result.kind === "collect") throw new Error("more than the whole body");
  return result.kind === "read" ? result.facts : { refused: result.code, status: result.status };
}

describe("calls and responses", () => {
  for (const [why, body, rpc] of [
    ["a call", '{"jsonrpc":"2.0","id":1,"method":"ping"}', [{ method: "ping" }]],
    [
      "a tool",
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_file","arguments":{"name":1}}}',
      [{ method: "tools/call", name: "read_file" }],
    ],
    ["params by position name no tool", '{"jsonrpc":"2.0","method":"tools/call","params":["x"]}', [{ method: "tools/call" }]],
    ["a name that is no text", '{"jsonrpc":"2.0","method":"tools/call","params":{"name":7}}', [{ method: "tools/call" }]],
    ["a response", '{"jsonrpc":"2.0","id":1,"result":{}}', [{ response: true }]],
    ["an error", '{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}', [{ response: true }]],
    ["a batch", '[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","id":1,"result":1}]', [{ method: "a" }, { response: true }]],
  ] as const) {
    test(why, () => expect(read(body)).toEqual({ rpc: [...rpc] } as never));
  }
});

describe("what a server could read in another way is refused", () => {
  for (const [why, body, code] of [
    ["no JSON", "method=a", "json_syntax"],
    ["nothing", "", "json_syntax"],
    ["text", '"a"', "rpc_shape"],
    ["an empty batch", "[]", "rpc_shape"],
    ["a batch in a batch", '[[{"jsonrpc":"2.0","method":"a"}]]', "rpc_shape"],
    ["a call and a response at once", '{"jsonrpc":"2.0","method":"a","result":1}', "rpc_shape"],
    ["neither", '{"jsonrpc":"2.0","id":1}', "rpc_shape"],
    ["a method that is no text", '{"jsonrpc":"2.0","method":["a"]}', "rpc_shape"],
    ["an empty method", '{"jsonrpc":"2.0","method":""}', "rpc_shape"],
    ["the method twice", '{"jsonrpc":"2.0","method":"a","method":"b"}', "json_duplicate"],
    ["the method once more in capitals", '{"jsonrpc":"2.0","method":"a","Method":"b"}', "json_name"],
    ["the params with a long s", '{"jsonrpc":"2.0","method":"a","param\u017f":{"name":"x"}}', "json_name"],
    ["the tool in capitals", '{"jsonrpc":"2.0","method":"tools/call","params":{"NAME":"x"}}', "json_name"],
    ["another version", '{"jsonrpc":"1.0","method":"a"}', "rpc_version"],
    ["no version", '{"method":"a"}', "rpc_version"],
  ] as const) {
    test(why, () => expect(read(body)).toMatchObject({ refused: code }));
  }

  test("plain JSON-RPC may have an older version or none", () => {
    for (const version of ["", '"jsonrpc":"1.0",', '"jsonrpc":"2.0",'])
      expect(read(`{${version}"method":"eth_call"}`, "json-rpc")).toEqual({ rpc: [{ method: "eth_call" }] });
  });

  test("a batch of more messages than are accepted, with both numbers", () => {
    const batch = (count: number) => `[${Array.from({ length: count }, () => '{"jsonrpc":"2.0","method":"a"}').join(",")}]`;
    expect(read(batch(MAX_RPC_BATCH))).toHaveProperty("rpc");
    expect(read(batch(MAX_RPC_BATCH + 1))).toEqual({ refused: "rpc_batch", status: 413 });
  });
});

describe("content that is not plain JSON in UTF-8", () => {
  const body = '{"jsonrpc":"2.0","method":"a"}';
  for (const [why, fields, code] of [
    ["a form", [field("Content-Type", "application/x-www-form-urlencoded")], "content_type"],
    ["no type", [], "content_type"],
    ["two types", [...JSON_TYPE, ...JSON_TYPE], "content_type"],
    ["a list of types", [field("Content-Type", "application/json, text/plain")], "content_type"],
    ["another charset", [field("Content-Type", "application/json; charset=utf-16")], "charset"],
    ["two charsets", [field("Content-Type", "application/json; charset=utf-8; charset=utf-7")], "content_type"],
    ["a parameter without a reading", [field("Content-Type", 'application/json; charset="utf-8')], "content_type"],
    ["gzip", [...JSON_TYPE, field("Content-Encoding", "gzip")], "content_encoding"],
    ["gzip behind identity", [...JSON_TYPE, field("Content-Encoding", "identity"), field("Content-Encoding", "br")], "content_encoding"],
  ] as const) {
    test(why, () => expect(read(body, "mcp", fields)).toEqual({ refused: code, status: 415 }));
  }

  for (const type of [
    "application/json; charset=utf-8",
    'Application/JSON;charset="UTF-8"',
    "application/json-rpc",
    "application/json; a=b",
  ]) {
    test(type, () => expect(read(body, "mcp", [field("content-type", type)])).toHaveProperty("rpc"));
  }
});
