import { describe, expect, test } from "bun:test";
import { CredentialSet } from "./model.ts";
import { CredentialRefused } from "./refused.ts";
import { payloadOf, type SigningSettings, sign, signedWith } from "./signing.ts";
import { EMPTY_PAYLOAD, sha256, UNSIGNED_PAYLOAD } from "./sigv4.ts";
import { slotsOf } from "./slot.ts";
import type { Head, Use } from "./substitute.ts";

const HOST = "examplebucket.s3.amazonaws.com";
const credential = (key: string, secret: string, provider = "cloud") => ({
  key,
  secret,
  provider,
  slots: slotsOf(key),
  endpoints: [{ host: HOST, ports: [443], path: "" }],
});
const KEYS = [
  credential("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
  credential("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
];
const use = (more: readonly ReturnType<typeof credential>[] = []): Use => ({
  set: new CredentialSet([...KEYS, ...more]),
  destination: { host: HOST, port: 443, path: "/", providers: [] },
  secure: true,
  now: Date.UTC(2013, 4, 24),
});
const S3: SigningSettings = { mode: "sigv4", service: "s3", region: "" };
const P = "openshell:resolve:env:AWS_ACCESS_KEY_ID";
const SCOPE = "20130101/us-east-1/s3/aws4_request";
const field = (name: string, value: string) => ({ name, lower: name.toLowerCase(), value });
const authorization = (signed: string, access = P) =>
  field("Authorization", `AWS4-HMAC-SHA256 Credential=${access}/${SCOPE}, SignedHeaders=${signed}, Signature=${"0".repeat(64)}`);
const head = (more: Partial<Head>): Head => ({ method: "GET", path: "/", query: undefined, fields: [], ...more });
const value = ({ fields }: Head, lower: string) => fields.find((one) => one.lower === lower)?.value;
const reason = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof CredentialRefused) return `${error.code}: ${error.message}`;
    throw error;
  }
  return "signed";
};

describe("requests signed with placeholders", () => {
  test("are signed again: the examples of S3, from what a program inside would send", () => {
    const ranged = head({
      path: "/test.txt",
      fields: [
        field("Host", HOST),
        authorization("host;range;x-amz-content-sha256;x-amz-date"),
        field("Range", "bytes=0-9"),
        field("X-Amz-Date", "20130101T000000Z"),
        field("x-amz-content-sha256", EMPTY_PAYLOAD),
        field("Connection", "close"),
      ],
    });
    expect(signedWith(ranged)).toBe("header");
    const payload = payloadOf(ranged, "header", S3, false);
    const { value: signed, used } = sign(ranged, "header", S3, payload ?? "", HOST, use());
    expect(value(signed, "authorization")).toBe(
      "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    );
    expect(value(signed, "x-amz-date")).toBe("20130524T000000Z");
    expect(used.map(({ key }) => key)).toEqual(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);

    const put = head({
      method: "PUT",
      path: "/test$file.text",
      fields: [
        authorization("date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class"),
        field("Date", "Fri, 24 May 2013 00:00:00 GMT"),
        field("x-amz-storage-class", "REDUCED_REDUNDANCY"),
      ],
    });
    expect(payloadOf(put, "header", { ...S3, mode: "sigv4:body" }, true)).toBeUndefined();
    const body = Buffer.from("Welcome to Amazon S3.");
    expect(value(sign(put, "header", S3, body, HOST, use()).value, "authorization")).toEndWith(
      "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    );
  });

  test("presigned ones too, for no longer than they are needed", () => {
    const query = [
      "x=1&X-Amz-Algorithm=AWS4-HMAC-SHA256",
      `X-Amz-Credential=${encodeURIComponent(`${P}/${SCOPE}`)}`,
      "X-Amz-Date=20130101T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=00",
    ].join("&");
    const presigned = head({ path: "/test.txt", query });
    expect(signedWith(presigned)).toBe("query");
    const { value: signed } = sign(presigned, "query", S3, payloadOf(presigned, "query", S3, false) ?? "", HOST, use());
    const sent = new URLSearchParams(signed.query);
    expect([sent.get("x"), sent.get("X-Amz-Credential"), sent.get("X-Amz-Expires")]).toEqual([
      "1",
      "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request",
      "900",
    ]);
    expect(sent.get("X-Amz-Signature")).toMatch(/^[0-9a-f]{64}$/);
    expect(signed.query).not.toContain("openshell");
  });

  test("with the provider's session token, which is signed", () => {
    const token = credential("AWS_SESSION_TOKEN", "session//token==");
    const from = head({ fields: [authorization("host"), field("X-Amz-Security-Token", "openshell:resolve:env:AWS_SESSION_TOKEN")] });
    const { value: signed } = sign(from, "header", S3, EMPTY_PAYLOAD, HOST, use([token]));
    expect(value(signed, "x-amz-security-token")).toBe("session//token==");
    expect(value(signed, "authorization")).toContain("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,");
    expect(reason(() => sign(from, "header", S3, EMPTY_PAYLOAD, HOST, use()))).toContain("the provider has none");
  });

  test("for the endpoint's region and service", () => {
    const { value: signed } = sign(
      head({ fields: [authorization("host")] }),
      "header",
      { mode: "sigv4", service: "sqs", region: "eu-1" },
      EMPTY_PAYLOAD,
      HOST,
      use(),
    );
    expect(value(signed, "authorization")).toContain("/20130524/eu-1/sqs/aws4_request, SignedHeaders=host;x-amz-date,");
  });

  test("one with other credentials, or none, is left alone", () => {
    expect(signedWith(head({ fields: [authorization("host", "AKIDOWN")] }))).toBeUndefined();
    expect(
      signedWith(head({ fields: [field("Authorization", "Bearer openshell:resolve:env:X")], query: "X-Amz-Credential=a" })),
    ).toBeUndefined();
  });
});

test("what stands for the body", () => {
  const hash = sha256("x");
  const payload = (declared: string | undefined, mode: SigningSettings["mode"] = "sigv4", hasBody = true, service = "s3") =>
    payloadOf(
      head({ fields: declared === undefined ? [] : [field("X-Amz-Content-SHA256", declared)] }),
      "header",
      { mode, service, region: "" },
      hasBody,
    );
  expect(payload(hash)).toBe(hash);
  expect(payload(UNSIGNED_PAYLOAD)).toBe(UNSIGNED_PAYLOAD);
  expect(payload(undefined)).toBeUndefined();
  expect(payload(undefined, "sigv4", false)).toBe(EMPTY_PAYLOAD);
  expect(payload(hash, "sigv4:body")).toBeUndefined();
  expect(payload(hash, "sigv4:no_body")).toBe(UNSIGNED_PAYLOAD);
  expect(payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER")).toBe("STREAMING-UNSIGNED-PAYLOAD-TRAILER");
  for (const chunks of ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"])
    for (const mode of ["sigv4", "sigv4:body", "sigv4:no_body"] as const) expect(payload(chunks, mode)).toBe(chunks);
  expect(reason(() => payload("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"))).toContain("cannot be signed again");
});

test.each([
  ["two Authorization fields", [authorization("host"), authorization("host")], "credential_signing"],
  [
    "another algorithm",
    [field("Authorization", `AWS4-ECDSA-P256-SHA256 Credential=${P}/${SCOPE}, SignedHeaders=host, Signature=00`)],
    "credential_signing",
  ],
  ["an unknown key", [authorization("host", "openshell:resolve:env:NONE")], "credential_unknown"],
  ["a key that is no access key", [authorization("host", "openshell:resolve:env:AWS_SECRET_ACCESS_KEY")], "credential_misplaced"],
  ["a provider without a secret", [authorization("host", "openshell:resolve:env:OTHER_ACCESS")], "credential_signing"],
  [
    "another placeholder in the request",
    [authorization("host"), field("X-Echo", "openshell:resolve:env:AWS_SECRET_ACCESS_KEY")],
    "credential_misplaced",
  ],
])("%s is refused", (_, fields, expected) => {
  const other = { ...credential("OTHER_ACCESS", "AKIAOTHER", "other"), slots: slotsOf("AWS_ACCESS_KEY_ID") };
  const got = reason(() => sign(head({ fields }), "header", S3, EMPTY_PAYLOAD, HOST, use([other])));
  expect(got).toStartWith(expected);
  expect(got).not.toContain("wJalr");
});
