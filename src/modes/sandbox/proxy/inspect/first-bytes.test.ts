import { expect, test } from "bun:test";
import { type Spoken, spokenIn } from "./first-bytes.ts";

const cases: readonly (readonly [string, Spoken])[] = [
  ["", "unknown"],
  ["\x16", "tls"],
  ["G", "unknown"],
  ["GET", "unknown"],
  ["GET ", "unknown"],
  ["GET /", "http"],
  ["OPTIONS *", "http"],
  ["PROPFIND http://x", "http"],
  ["P", "unknown"],
  ["PRI * HTTP/2.0\r\n", "http2"],
  ["PRI * HTTP/2.0", "unknown"],
  ["SSH-2.0-x", "other"],
  ["HELO mail", "other"],
  ["get /", "other"],
  ["\0\0\0\x08", "other"],
  ["ABCDEFGHIJKLMNOPQRSTUVWXYZ", "other"],
];

for (const [text, spoken] of cases)
  test(`${JSON.stringify(text)} is ${spoken}`, () => expect(spokenIn(Buffer.from(text, "latin1"))).toBe(spoken));
