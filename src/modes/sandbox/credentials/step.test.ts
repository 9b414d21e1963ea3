import { describe, expect, test } from "bun:test";
import { emptyEndpoint } from "../../../policy/defaults.ts";
import type { Endpoint } from "../../../policy/model.ts";
import type { OriginRequest } from "../proxy/http1/origin-request.ts";
import { HeadError } from "../proxy/http1/refused.ts";
import { MAX_REWRITTEN_BODY } from "./body.ts";
import { CredentialSet, Credentials } from "./model.ts";
import { CredentialRefused } from "./refused.ts";
import { MAX_SIGNED_BODY } from "./signing.ts";
import { DEFAULT_SLOTS, slotsOf } from "./slot.ts";
import { messageMask, pathForCredentials, prepare } from "./step.ts";

const SECRET = "the-real-secret";
const SERVER = { authority: { host: "api.example", port: 443 }, scheme: "https" } as const;
const endpoints = (path: string) => [{ host: "api.example", ports: [443], path }];
const credentials = new Credentials(
  new CredentialSet([
    { key: "TOKEN", secret: SECRET, provider: "p", slots: DEFAULT_SLOTS, endpoints: endpoints("/safe/**") },
    { key: "AWS_ACCESS_KEY_ID", secret: "AKIAREALREALREAL", provider: "aws", slots: slotsOf("AWS_ACCESS_KEY_ID"), endpoints: [] },
    { key: "AWS_SECRET_ACCESS_KEY", secret: "aws-secret-key", provider: "aws", slots: slotsOf("AWS_SECRET_ACCESS_KEY"), endpoints: [] },
  ]),
);
const field = (name: string, value: string) => ({ name, lower: name.toLowerCase(), value });
const BEARER = field("Authorization", "Bearer openshell:resolve:env:TOKEN");
const request = (more: Partial<OriginRequest>): OriginRequest => ({
  ...{
    method: "GET",
    path: "/safe/x",
    query: undefined,
    version: "1.1",
    fields: [BEARER],
    body: { kind: "none" },
    upgrade: "",
    keepAlive: true,
  },
  ...more,
});
const prepared = (of: OriginRequest, endpoint: Partial<Endpoint> = {}, body?: Buffer) =>
  prepare(pathForCredentials(of), [{ ...emptyEndpoint, ...endpoint }], body, credentials, SERVER);
const code = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof CredentialRefused) return error.code;
    throw error;
  }
  return "sent";
};
const fieldsOf = (result: ReturnType<typeof prepared>) =>
  (result.kind === "forward" ? result.forward.request.fields : []).map(({ value }) => value);

describe("one allowed request", () => {
  test("goes on with the secret, and its answer is masked", () => {
    const result = prepared(request({}));
    expect(fieldsOf(result)).toEqual([`Bearer ${SECRET}`]);
    if (result.kind !== "forward") throw new Error("not forwarded");
    expect(result.used.map(({ key }) => key)).toEqual(["TOKEN"]);
    expect(result.forward.response?.head(200, [field("X", SECRET)])[0]?.value).toBe("*".repeat(SECRET.length));
    expect(result.forward.response?.body).toBeUndefined();
  });

  test("threat-13 a path that a server reads as another one does not widen where a credential may go", () => {
    for (const path of ["/safe/../admin", "/safe/%2e%2e/admin", "/safe/./../admin", "/safe/x%2fadmin", "/admin"])
      expect([path, code(() => prepared(request({ path })))]).toEqual([path, "credential_endpoint_mismatch"]);
    expect(() => prepared(request({ path: "/safe/..%2fadmin" }))).toThrow(HeadError);
    const result = prepared(request({ path: "/admin/../safe/x" }));
    expect(result.kind === "forward" && result.forward.request.path).toBe("/safe/x");
  });

  test("an endpoint's own binding replaces the provider's", () => {
    expect(code(() => prepared(request({ path: "/admin" }), { credentialBinding: { provider: "p" } }))).toBe("sent");
    expect(code(() => prepared(request({}), { credentialBinding: { provider: "other" } }))).toBe("credential_endpoint_mismatch");
  });

  test("waits for its body where placeholders in it are replaced", () => {
    const body = Buffer.from('{"a":"openshell:resolve:env:TOKEN"}');
    const json = { body: { kind: "length", length: body.length }, fields: [field("Content-Type", "application/json")] } as const;
    const rewriting = { requestBodyCredentialRewrite: true };
    expect(prepared(request(json), rewriting)).toEqual({ kind: "collect", limit: MAX_REWRITTEN_BODY });
    const result = prepared(request(json), rewriting, body);
    expect(result.kind === "forward" && result.forward.body?.toString()).toBe(`{"a":"${SECRET}"}`);
    const streams = prepared(request({ ...json, fields: [field("Content-Type", "application/octet-stream")] }), rewriting);
    expect(streams.kind === "forward" && streams.forward.body).toBeUndefined();
    expect(prepared(request(json)).kind).toBe("forward");
  });

  test("waits for its body where that is signed", () => {
    const by = "Credential=openshell:resolve:env:AWS_ACCESS_KEY_ID/20200101/eu-1/sqs/aws4_request, SignedHeaders=host, Signature=00";
    const of = request({ method: "POST", body: { kind: "length", length: 2 }, fields: [field("Authorization", `AWS4-HMAC-SHA256 ${by}`)] });
    const signing = { credentialSigning: "sigv4", signingService: "sqs" };
    expect(prepared(of, signing)).toEqual({ kind: "collect", limit: MAX_SIGNED_BODY });
    expect(fieldsOf(prepared(of, signing, Buffer.from("{}"))).join()).toContain("Credential=AKIAREALREALREAL/");
    expect(code(() => prepared(of))).toBe("credential_misplaced");
    expect(code(() => prepared(of, { ...signing, credentialBinding: { provider: "p" } }, Buffer.from("{}")))).toBe(
      "credential_endpoint_mismatch",
    );
  });

  test("has its chunks signed as they pass, or at once where rules have read its body", () => {
    const by = "Credential=openshell:resolve:env:AWS_ACCESS_KEY_ID/20200101/eu-1/s3/aws4_request, SignedHeaders=host, Signature=00";
    const fields = [field("Authorization", `AWS4-HMAC-SHA256 ${by}`), field("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")];
    const body = Buffer.from(`5;chunk-signature=${"0".repeat(64)}\r\nhello\r\n0;chunk-signature=${"0".repeat(64)}\r\n\r\n`);
    const of = request({ method: "PUT", body: { kind: "length", length: body.length }, fields });
    const signing = { credentialSigning: "sigv4", signingService: "s3" };
    const [streaming, whole] = [prepared(of, signing), prepared(of, signing, body)];
    if (streaming.kind !== "forward" || whole.kind !== "forward") throw new Error("not forwarded");
    expect(streaming.forward.body).toBeUndefined();
    const passed = streaming.forward.content?.body(body, true);
    expect(whole.forward.content).toBeUndefined();
    for (const one of [passed, whole.forward.body]) {
      expect(one).toHaveLength(body.length);
      expect(one?.toString()).not.toContain("0".repeat(64));
    }
    expect(() => prepared(of, signing, Buffer.from("hello"))).toThrow(HeadError);
  });

  test("is asked for plain where its answer's body is masked", () => {
    const of = request({ fields: [field("Accept-Encoding", "br"), field("Range", "bytes=0-3"), field("If-Range", "x")] });
    expect(fieldsOf(prepared(of, { maskResponses: true }))).toEqual(["identity"]);
    const none = new Credentials();
    expect(prepare(of, [{ ...emptyEndpoint, maskResponses: true }], undefined, none, SERVER)).toMatchObject({ forward: { request: of } });
  });

  test("is not upgraded where messages would have to be masked and nobody reads them", () => {
    const masking = [{ ...emptyEndpoint, maskResponses: true }];
    expect(code(() => messageMask(masking, false, credentials))).toBe("credential_upgrade");
    expect(messageMask(masking, true, credentials)).toBeDefined();
    expect(messageMask([emptyEndpoint], false, credentials)).toBeUndefined();
  });
});

test("threat-13 in 20,000 random heads a secret is only ever where its slot is, and no placeholder is sent", () => {
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((seed / 2_147_483_648) * below);
  };
  const pick = <T>(from: readonly T[]): T => from[random(from.length)] as T;
  const placeholder = "openshell:resolve:env:TOKEN";
  const texts = [
    placeholder,
    `sk-OPENSHELL-RESOLVE-ENV-TOKEN`,
    "openshell:resolve:env:NONE",
    placeholder.toUpperCase(),
    "x",
    "",
    "plain text",
    ":",
    "%3A",
  ];
  const spell = [
    (text: string) => text,
    encodeURIComponent,
    (text: string) => Buffer.from(text).toString("base64"),
    (text: string) => `a${text}`,
  ];
  const text = () => pick(spell)(pick(texts));
  let sent = 0;
  for (let round = 0; round < 20_000; round++) {
    const fields = Array.from({ length: random(3) }, () =>
      field(pick(["Authorization", "X-Api-Key", "X-Other", "Cookie"]), `${pick(["", "", "Bearer ", "Basic ", "Digest "])}${text()}`),
    );
    const of = request({
      path: `/safe/${pick(["x", "x", encodeURIComponent(text())])}`,
      query: pick([undefined, undefined, `a=${text()}`]),
      fields,
    });
    let result: ReturnType<typeof prepared>;
    try {
      result = prepared(of);
    } catch (error) {
      expect(String(error)).not.toContain(SECRET);
      continue;
    }
    if (result.kind !== "forward") throw new Error("nothing here has a body");
    const { path, query, fields: out } = result.forward.request;
    sent += result.used.length;
    expect(`${path}${query}`).not.toContain(SECRET);
    for (const { lower, value } of out) {
      const decoded = `${value} ${Buffer.from(value.replace(/^Basic /, ""), "base64").toString("latin1")}`;
      expect(decoded.toLowerCase()).not.toContain("resolve");
      if (decoded.includes(SECRET)) expect(["authorization", "x-api-key"]).toContain(lower);
    }
  }
  expect(sent).toBeGreaterThan(300);
});
