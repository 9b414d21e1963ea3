import { describe, expect, test } from "bun:test";
import { BodyReader } from "./body.ts";
import type { BodyFraming } from "./framing.ts";

/** Feeds `text` in pieces of `size` bytes; gives what belongs to the body. */
function play(framing: BodyFraming, text: string, size: number): { body: string; done: boolean; problem: string | undefined } {
  const reader = new BodyReader(framing);
  let body = "";
  for (let at = 0; at < text.length; at += size) {
    const piece = Buffer.from(text.slice(at, at + size), "latin1");
    body += piece.toString("latin1", 0, reader.take(piece));
  }
  return { body, done: reader.done, problem: reader.problem };
}
const chunked: BodyFraming = { kind: "chunked" };

describe("the end of a body, in pieces of any size", () => {
  const smuggled = "GET /second HTTP/1.1\r\n\r\n";
  const cases: [string, BodyFraming, string][] = [
    ["none", { kind: "none" }, ""],
    ["length", { kind: "length", length: 5 }, "12345"],
    ["length 0", { kind: "length", length: 0 }, ""],
    ["chunked", chunked, "5\r\n12345\r\nA\r\n1234567890\r\n0\r\n\r\n"],
    ["chunked with trailer", chunked, "1\r\nx\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n"],
    ["chunked with leading zeros", chunked, "0001\r\nx\r\n000\r\n\r\n"],
  ];
  for (const [name, framing, body] of cases)
    for (const size of [1, 2, 3, 7, 1000])
      test(`case-54: ${name}, ${size} at a time`, () =>
        expect(play(framing, body + smuggled, size)).toEqual({ body, done: true, problem: undefined }));
});

const trailer = (line: string) => `0\r\n${line}\r\n\r\n`;

describe("threat-23 threat-13 refused chunked bodies", () => {
  const refused = [
    "5\n12345\r\n0\r\n\r\n",
    "5;ext=1\r\n12345\r\n0\r\n\r\n",
    "5 \r\n12345\r\n0\r\n\r\n",
    " 5\r\n12345\r\n0\r\n\r\n",
    "0x5\r\n12345\r\n0\r\n\r\n",
    "-5\r\n12345\r\n0\r\n\r\n",
    "\r\n12345",
    "5\r\n12345X\r\n0\r\n\r\n",
    "5\r\n12345\n0\r\n\r\n",
    "5\r\n123450\r\n\r\n",
    "FFFFFFFFFFFFFFFFF\r\n",
    "0\r\nX: 1\n\r\n",
    "0\r\n X: 1\r\n\r\n",
    "0\r\nContent-Length: 3\r\n\r\n",
    "0\r\nno colon\r\n\r\n",
    ...["Authorization: x", "cookie:x", "Connection: close", "Upgrade: h2c", "Proxy-Authorization: x", "TE: trailers", "Trailer: x"].map(
      trailer,
    ),
    ...["Content-Type: x", "Content-Encoding: gzip", "X-HTTP-Method-Override: DELETE", "X-Original-URL: /x", "Expect: x"].map(trailer),
    ...["X: openshell:resolve:env:KEY", "X: %6fpenshell:resolve:env:KEY"].map(trailer),
    `0\r\nX: ${"y".repeat(9000)}\r\n\r\n`,
  ];
  for (const text of refused)
    test(JSON.stringify(text.slice(0, 60)), () => {
      const result = play(chunked, text, 3);
      expect(result.done).toBe(false);
      expect(result.problem).toBeString();
    });
});
