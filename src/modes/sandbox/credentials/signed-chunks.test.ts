import { describe, expect, test } from "bun:test";
import { HeadError } from "../proxy/http1/refused.ts";
import { MAX_SIGNED_CHUNK, SignedChunks } from "./signed-chunks.ts";
import { signature, signingKey } from "./sigv4.ts";

/** The examples of "Transferring Payload in Multiple Chunks", S3 API reference: 66,560 letters a in chunks of 65,536. */
const KEYS = { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" };
const SCOPE = { date: "20130524", region: "us-east-1", service: "s3" };
const AT = "20130524T000000Z";
const FALSE = "0".repeat(64);

function seed(payload: string, more: Readonly<Record<string, string>>): string {
  const fields = {
    "content-encoding": "aws-chunked",
    host: "s3.amazonaws.com",
    "x-amz-content-sha256": payload,
    "x-amz-date": AT,
    "x-amz-decoded-content-length": "66560",
    "x-amz-storage-class": "REDUCED_REDUNDANCY",
    ...more,
  };
  const signed = Object.entries(fields).map(([lower, value]) => ({ lower, value }));
  return signature({ method: "PUT", path: "/examplebucket/chunkObject.txt", query: undefined, fields: signed, payload }, KEYS, SCOPE, AT);
}

const chunk = (size: number, made: string) =>
  `${size.toString(16)};chunk-signature=${made}\r\n${"a".repeat(size)}${size > 0 ? "\r\n" : ""}`;
const filter = (trailer: boolean, from: string) =>
  new SignedChunks({ key: signingKey(KEYS, SCOPE), scope: SCOPE, timestamp: AT, seed: from, trailer });

/** All that the server gets for a body that comes in pieces of this size. */
function passed(body: string, piece: number, trailer = false, from = FALSE): string {
  const chunks = filter(trailer, from);
  const bytes = Buffer.from(body, "latin1");
  const out: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += piece) out.push(chunks.body(bytes.subarray(at, at + piece), false));
  out.push(chunks.body(Buffer.alloc(0), true));
  return Buffer.concat(out).toString("latin1");
}

describe("the published examples, whatever pieces a body comes in", () => {
  const plain = seed("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", { "content-length": "66824" });
  const trailed = seed("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", { "x-amz-trailer": "x-amz-checksum-crc32c" });

  test("the signatures of the requests themselves", () => {
    expect(plain).toBe("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");
    expect(trailed).toBe("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e");
  });

  test.each([7, 87, 1024, 65_536, 65_623, 1_000_000])("chunks that are signed, in pieces of %d bytes", (piece) => {
    const body = (...made: readonly string[]) => [65_536, 1024, 0].map((size, index) => chunk(size, made[index] ?? FALSE)).join("");
    expect(passed(`${body()}\r\n`, piece, false, plain)).toBe(
      `${body(
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
      )}\r\n`,
    );
  });

  // Both ends of lines are in use: the reference's own, and that of RFC 9112.
  test.each(["\n\r\n", "\r\n"])("and a trailer that is signed, behind %j", (end) => {
    const body = (made: readonly string[], trailer: string) =>
      [65_536, 1024, 0].map((size, index) => chunk(size, made[index] ?? FALSE)).join("") +
      `x-amz-checksum-crc32c:sOO8/Q==${end}x-amz-trailer-signature:${trailer}\r\n\r\n`;
    const made = [
      "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
      "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
      "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    ];
    const expected = body(made, "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435");
    for (const piece of [7, 1024, 100_000]) expect(passed(body([], FALSE), piece, true, trailed)).toBe(expected);
  });
});

test("a size keeps its zeros in front: the body stays as long as it was announced", () => {
  const body = `0005;chunk-signature=${FALSE}\r\nhello\r\n000;chunk-signature=${FALSE}\r\n\r\n`;
  expect(passed(body, 3)).toHaveLength(body.length);
  expect(passed(body, 3).replace(/[0-9a-f]{64}/g, FALSE)).toBe(body);
});

test.each([
  ["a chunk without signature", "5\r\nhello\r\n0\r\n\r\n", false],
  ["another extension", `5;chunk-signature=${FALSE};x=y\r\nhello\r\n`, false],
  ["a line that ends in LF alone", `5;chunk-signature=${FALSE}\nhello\r\n`, false],
  ["a line without end", `5;chunk-signature=${"0".repeat(500)}`, false],
  ["a chunk longer than its size", `5;chunk-signature=${FALSE}\r\nhello!\r\n`, false],
  ["a body that ends early", `5;chunk-signature=${FALSE}\r\nhel`, false],
  ["a body without its last chunk", chunk(5, FALSE), false],
  ["something behind the last chunk", `${chunk(0, FALSE)}\r\nmore`, false],
  ["a trailer without signature", `${chunk(0, FALSE)}x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n`, true],
  ["a trailer without end", `${chunk(0, FALSE)}${"x".repeat(9000)}`, true],
  ["threat-16 a chunk of less than 8 KiB that is not the last", `${chunk(8191, FALSE)}${chunk(8192, FALSE)}${chunk(0, FALSE)}\r\n`, false],
  ["a chunk that is too large", `${(MAX_SIGNED_CHUNK + 1).toString(16)};chunk-signature=${FALSE}\r\n`, false],
])("%s is refused", (_, body, trailer) => {
  for (const piece of [1, 1000]) expect(() => passed(body, piece, trailer)).toThrow(HeadError);
});

test("what is refused leaves no memory behind, nor does what is given up", () => {
  const half = `100000;chunk-signature=${FALSE}\r\n${"a".repeat(600_000)}`;
  for (let round = 0; round < 200; round++) {
    const chunks = filter(false, FALSE);
    chunks.body(Buffer.from(half, "latin1"), false);
    if (round % 2 === 0) chunks.drop();
    else expect(() => chunks.body(Buffer.alloc(0), true)).toThrow(HeadError);
  }
});
