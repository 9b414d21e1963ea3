import { describe, expect, test } from "bun:test";
import { canonicalRequest, EMPTY_PAYLOAD, type SignedParts, sha256, signature, signedNames, UNSIGNED_PAYLOAD } from "./sigv4.ts";

/** The published test suite of Signature Version 4: keys, time and scope are the same in all of it. */
const SUITE = {
  keys: { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" },
  scope: { date: "20150830", region: "us-east-1", service: "service" },
  timestamp: "20150830T123600Z",
};
const lines = (...all: readonly string[]) =>
  all.map((line) => ({ lower: line.slice(0, line.indexOf(":")).toLowerCase(), value: latin1(line.slice(line.indexOf(":") + 1)) }));
const latin1 = (text: string) => Buffer.from(text).toString("latin1");
const DATE = "X-Amz-Date:20150830T123600Z";
const HOST = "Host:example.amazonaws.com";

interface Vector extends Partial<SignedParts> {
  readonly name: string;
  readonly signed?: readonly string[];
  readonly expected: string;
}

const vectors: readonly Vector[] = [
  { name: "get-vanilla", expected: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
  {
    name: "get-vanilla-empty-query-key",
    query: "Param1=value1",
    expected: "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
  },
  {
    name: "get-vanilla-query-order-key-case",
    query: "Param2=value2&Param1=value1",
    expected: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
  },
  {
    name: "get-unreserved",
    path: "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    expected: "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
  },
  { name: "get-utf8", path: latin1("/ሴ"), expected: "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85" },
  {
    name: "get-header-value-trim",
    signed: ["My-Header1: value1", 'My-Header2: "a   b   c"'],
    expected: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
  },
  {
    name: "get-header-key-duplicate",
    signed: ["My-Header1:value2", "My-Header1:value2", "My-Header1:value1"],
    expected: "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
  },
  {
    name: "get-header-value-order",
    signed: ["My-Header1:value4", "My-Header1:value1", "My-Header1:value3", "My-Header1:value2"],
    expected: "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
  },
  { name: "post-vanilla", method: "POST", expected: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
  {
    name: "post-vanilla-query",
    method: "POST",
    query: "Param1=value1",
    expected: "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
  },
  {
    name: "post-header-key-sort",
    method: "POST",
    signed: ["My-Header1:value1"],
    expected: "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
  },
  {
    name: "post-header-value-case",
    method: "POST",
    signed: ["My-Header1:VALUE1"],
    expected: "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
  },
  {
    name: "post-sts-header-before",
    method: "POST",
    signed: [
      "X-Amz-Security-Token:AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==",
    ],
    expected: "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
  },
  {
    name: "post-x-www-form-urlencoded",
    method: "POST",
    signed: ["Content-Type:application/x-www-form-urlencoded"],
    payload: sha256("Param1=value1"),
    expected: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
  },
  { name: "get-relative", path: "/example/..", expected: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
  { name: "get-slash", path: "//", expected: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
  { name: "get-slash-dot-slash", path: "/./", expected: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
  { name: "get-slash-pointless-dot", path: "/./example", expected: "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5" },
  { name: "get-slashes", path: "//example//", expected: "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84" },
  { name: "get-space", path: "/example space/", expected: "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741" },
];

describe("the published test suite", () => {
  test.each(vectors.map((vector) => [vector.name, vector] as const))("%s", (_, { signed = [], expected, ...parts }) => {
    const request: SignedParts = {
      method: "GET",
      path: "/",
      query: undefined,
      payload: EMPTY_PAYLOAD,
      fields: lines(HOST, DATE, ...signed),
      ...parts,
    };
    expect(signature(request, SUITE.keys, SUITE.scope, SUITE.timestamp)).toBe(expected);
  });
});

/** "Authenticating Requests (AWS Signature Version 4)" of the S3 API reference. */
describe("the examples of S3", () => {
  const keys = { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" };
  const scope = { date: "20130524", region: "us-east-1", service: "s3" };
  const at = "20130524T000000Z";
  const BUCKET = "Host:examplebucket.s3.amazonaws.com";
  const parts = (method: string, path: string, query: string | undefined, payload: string, ...signed: string[]): SignedParts => ({
    method,
    path,
    query,
    payload,
    fields: lines(BUCKET, ...signed),
  });
  const hashed = (payload: string) => [`x-amz-content-sha256:${payload}`, `x-amz-date:${at}`];

  test.each([
    [
      "GET of a range",
      parts("GET", "/test.txt", undefined, EMPTY_PAYLOAD, "Range:bytes=0-9", ...hashed(EMPTY_PAYLOAD)),
      "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ],
    [
      "PUT, with a character to escape",
      parts(
        "PUT",
        "/test$file.text",
        undefined,
        sha256("Welcome to Amazon S3."),
        "Date:Fri, 24 May 2013 00:00:00 GMT",
        "x-amz-storage-class:REDUCED_REDUNDANCY",
        ...hashed(sha256("Welcome to Amazon S3.")),
      ),
      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ],
    [
      "GET of a bucket's lifecycle",
      parts("GET", "/", "lifecycle", EMPTY_PAYLOAD, ...hashed(EMPTY_PAYLOAD)),
      "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ],
    [
      "GET of a list",
      parts("GET", "/", "max-keys=2&prefix=J", EMPTY_PAYLOAD, ...hashed(EMPTY_PAYLOAD)),
      "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ],
    [
      "a presigned URL",
      parts(
        "GET",
        "/test.txt",
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host",
        UNSIGNED_PAYLOAD,
      ),
      "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
    ],
  ])("%s", (_, request, expected) => {
    expect(signature(request, keys, scope, at)).toBe(expected);
  });
});

test("a path keeps its escapes for S3 and is escaped again for the others; field names are sorted", () => {
  const request: SignedParts = {
    method: "GET",
    path: "/a%20b/c:d",
    query: "b=%c3%a9&a=x+y",
    payload: "P",
    fields: lines("Z:1", "a: 2  3"),
  };
  expect(canonicalRequest(request, "s3")).toBe("GET\n/a%20b/c%3Ad\na=x%20y&b=%C3%A9\na:2 3\nz:1\n\na;z\nP");
  expect(canonicalRequest(request, "sqs").split("\n")[1]).toBe("/a%2520b/c%3Ad");
  expect(signedNames(request.fields)).toBe("a;z");
});
