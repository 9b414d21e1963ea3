import { expect, test } from "bun:test";
import { readOriginRequest } from "./origin-request.ts";

test.each([
  ["a.example", 443, "a.example", "request"],
  ["a.example", 443, "A.Example.", "request"],
  ["a.example", 443, "a.example:443", "request"],
  ["a.example", 443, "a.example:444", 421],
  ["a.example", 443, "b.example", 421],
  ["a.example", 443, "a.example\r\nHost: a.example", 400],
  ["::1", 443, "[::1]", "request"],
  ["::1", 443, "::1", 400],
  ["192.0.2.1", 443, "192.0.2.1", "request"],
  ["192.0.2.1", 443, "192.0.2.01", 400],
] as const)("on a connection to %s port %d, the Host field %p", (host, port, field, outcome) => {
  const result = readOriginRequest(Buffer.from(`GET / HTTP/1.1\r\nHost: ${field}\r\n\r\n`), { host, port });
  expect<string | number>(result.kind === "refused" ? result.status : result.kind).toBe(outcome);
});
