import { expect, test } from "bun:test";
import { overrides } from "./override.ts";

const request = (name: string, value: string) => ({
  method: "GET",
  path: "/public",
  query: "a=1",
  fields: [{ name, lower: name.toLowerCase(), value }],
});

test.each([
  ["X-HTTP-Method-Override", "DELETE", "method_override"],
  ["x-method-override", "post", "method_override"],
  ["X-HTTP-Method", "get", undefined],
  ["X-Original-URL", "/admin", "path_override"],
  ["X-Rewrite-URL", "/public?a=2", "path_override"],
  ["X-Original-URL", "/public?a=1", undefined],
  ["X-Rewrite-URL", "/public", undefined],
  ["X_HTTP_Method-Override", "DELETE", "method_override"],
  ["x_original_url", "/admin", "path_override"],
  ["X-Requested-With", "/admin", undefined],
])("threat-23 %s: %s", (name, value, code) => {
  expect(overrides(request(name, value))?.code).toBe(code as never);
});
