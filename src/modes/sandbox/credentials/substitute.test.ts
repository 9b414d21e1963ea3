import { describe, expect, test } from "bun:test";
import { isBoundTo } from "./binding.ts";
import { type Credential, CredentialSet } from "./model.ts";
import { CredentialRefused } from "./refused.ts";
import { DEFAULT_SLOTS, type Slot, TOKEN_SCHEMES } from "./slot.ts";
import { type Head, hasPlaceholder, substituteHead, type Use } from "./substitute.ts";

const HOST = "api.example";
const NOW = 1_000_000;

const credential = (key: string, secret: string, slots: readonly Slot[], more: Partial<Credential> = {}): Credential => ({
  key,
  secret,
  provider: "p",
  slots,
  endpoints: [{ host: HOST, ports: [443], path: "" }],
  ...more,
});

const BEARER: Slot = { kind: "header", name: "authorization", schemes: TOKEN_SCHEMES };
const KEY_FIELD: Slot = { kind: "header", name: "x-api-key", schemes: [""] };
const everywhere: readonly Slot[] = [
  BEARER,
  KEY_FIELD,
  { kind: "query", name: "api_key" },
  { kind: "path", template: "/bot{credential}/**" },
];
const set = new CredentialSet([
  credential("TOKEN", "s3cr3t+/=&value", [BEARER]),
  credential("KEY", "k-é-1234567", [KEY_FIELD]),
  credential("QUERY", "a b&c=d/é'(", [{ kind: "query", name: "api_key" }]),
  credential("BOT", "123456:AbC;d", [{ kind: "path", template: "/bot{credential}/**" }], { alias: "tg" }),
  credential("ALL", "all-over-1", everywhere),
  credential("USER", "user-name-1", [BEARER]),
  credential("DEFAULT", "default-1", DEFAULT_SLOTS),
  credential("NOWHERE", "nowhere-1", []),
  credential("ELSEWHERE", "elsewhere-1", everywhere, { endpoints: [{ host: "other.example", ports: [443], path: "" }], provider: "q" }),
  credential("CRLF", "line\r\nX: y", everywhere),
  credential("NUL", "nul\0nul-nul", everywhere),
  credential("SLASH", "a/../../b-b", everywhere),
  credential("SHORT", "abc", everywhere),
  credential("OLD", "old-secret-1", everywhere, { expiresAt: NOW }),
  credential("SIGN", "signing-secret", [{ kind: "sigv4", part: "secret_access_key" }]),
]);

const P = (key: string) => `openshell:resolve:env:${key}`;
const basic = (text: string) => Buffer.from(text, "latin1").toString("base64");
const use = (more: Partial<Use> = {}): Use => ({
  set,
  destination: { host: HOST, port: 443, path: "/x", providers: [] },
  secure: true,
  now: NOW,
  ...more,
});
const head = (more: Partial<Head>): Head => ({ method: "GET", path: "/x", query: undefined, fields: [], ...more });
const field = (name: string, value: string) => ({ name, lower: name.toLowerCase(), value });
const withField = (name: string, value: string) => head({ fields: [field("Accept", "*/*"), field(name, value)] });
const sent = (from: Head) => substituteHead(from, use()).value;
const refusal = (from: Head, with_ = use()): string => {
  try {
    substituteHead(from, with_);
  } catch (error) {
    if (error instanceof CredentialRefused) {
      for (const { secret } of set.values()) expect(error.message).not.toContain(secret);
      return error.code;
    }
    throw error;
  }
  return "sent";
};

describe("case-76 the server gets the secret in its slot", () => {
  test.each([
    ["Authorization", `Bearer ${P("TOKEN")}`, "Bearer s3cr3t+/=&value"],
    ["authorization", `bearer   ${P("TOKEN")}`, "bearer s3cr3t+/=&value"],
    ["Authorization", `token ${P("TOKEN")}`, "token s3cr3t+/=&value"],
    ["Authorization", `Bearer ghp-OPENSHELL-RESOLVE-ENV-TOKEN`, "Bearer s3cr3t+/=&value"],
    ["Authorization", P("DEFAULT"), "default-1"],
    ["X-Api-Key", P("KEY"), Buffer.from("k-é-1234567").toString("latin1")],
    ["Authorization", `Basic ${basic(`git:${P("TOKEN")}`)}`, `Basic ${basic("git:s3cr3t+/=&value")}`],
    ["Authorization", `basic ${basic(`${P("USER")}:${P("TOKEN")}`)}`, `basic ${basic("user-name-1:s3cr3t+/=&value")}`],
    [
      "Authorization",
      `Basic ${basic(`x-access-token:${P("TOKEN")}`).replace(/=+$/, "")}`,
      `Basic ${basic("x-access-token:s3cr3t+/=&value")}`,
    ],
  ])("%s: %s", (name, value, expected) => {
    expect(hasPlaceholder(withField(name, value))).toBe(true);
    expect(sent(withField(name, value)).fields[1]).toEqual(field(name, expected));
  });

  test("query parameters, encoded unreserved-only", () => {
    const query = `a=1&api%5Fkey=${encodeURIComponent(P("QUERY"))}&b=%2f+`;
    expect(sent(head({ query })).query).toBe("a=1&api%5Fkey=a%20b%26c%3Dd%2F%C3%A9%27%28&b=%2f+");
  });

  test("path segments, around what the template says", () => {
    for (const placeholder of [P("BOT"), encodeURIComponent(P("BOT")), "tg-OPENSHELL-RESOLVE-ENV-BOT"])
      expect(sent(head({ path: `/bot${placeholder}/sendMessage` })).path).toBe("/bot123456:AbC%3Bd/sendMessage");
    expect(sent(head({ path: `/bot${P("BOT")}` })).path).toBe("/bot123456:AbC%3Bd");
  });

  test("nothing changes where no placeholder is", () => {
    const plain = head({ path: "/a/b", query: "x=%2", fields: [field("Authorization", "Basic dXNlcjpwYXNz"), field("Cookie", "a=b")] });
    expect(hasPlaceholder(plain)).toBe(false);
    expect(substituteHead(plain, use())).toEqual({ value: plain, used: [] });
  });
});

describe("case-77 threat-13 anything else is refused", () => {
  test.each([
    ["unknown", withField("Authorization", `Bearer ${P("OTHER")}`), "credential_unknown"],
    ["unknown in Basic", withField("Authorization", `Basic ${basic(`a:${P("OTHER")}`)}`), "credential_unknown"],
    ["unknown in the query", head({ query: `q=${P("OTHER")}` }), "credential_unknown"],
    ["unknown in the path", head({ path: `/${P("OTHER")}` }), "credential_unknown"],
    ["unknown behind other text", withField("Cookie", `a=${P("OTHER")}`), "credential_unknown"],
    ["another field", withField("X-Echo", P("TOKEN")), "credential_misplaced"],
    ["another scheme", withField("Authorization", `Digest ${P("TOKEN")}`), "credential_misplaced"],
    ["without the scheme", withField("Authorization", P("TOKEN")), "credential_misplaced"],
    ["with a scheme where there is none", withField("X-Api-Key", `Bearer ${P("KEY")}`), "credential_misplaced"],
    ["with more behind it", withField("Authorization", `Bearer ${P("TOKEN")}, x`), "credential_misplaced"],
    ["twice", withField("Authorization", `Bearer ${P("TOKEN")} ${P("TOKEN")}`), "credential_misplaced"],
    ["in upper case", withField("Authorization", `Bearer ${P("TOKEN").toUpperCase()}`), "credential_misplaced"],
    ["in Basic, in upper case", withField("Authorization", `Basic ${basic(`a:${P("TOKEN").toUpperCase()}`)}`), "credential_misplaced"],
    ["Basic where only the bare value goes", withField("X-Api-Key", `Basic ${basic(P("KEY"))}`), "credential_misplaced"],
    ["nine times in Basic", withField("Authorization", `Basic ${basic(P("TOKEN").concat(" ").repeat(9))}`), "credential_misplaced"],
    ["base64 in a field", withField("X-Echo", basic(`ab${P("TOKEN")}`)), "credential_misplaced"],
    ["percent-encoded in a field", withField("Authorization", `Bearer ${encodeURIComponent(P("TOKEN"))}`), "credential_misplaced"],
    ["in the name of a field", withField("X-OPENSHELL-RESOLVE-ENV-TOKEN", "1"), "credential_misplaced"],
    ["in the method", head({ method: "X-OPENSHELL-RESOLVE-ENV-TOKEN" }), "credential_misplaced"],
    ["in the query", head({ query: `q=${P("TOKEN")}` }), "credential_misplaced"],
    ["in another parameter", head({ query: `q=${P("QUERY")}` }), "credential_misplaced"],
    ["part of a parameter", head({ query: `api_key=x${P("QUERY")}` }), "credential_misplaced"],
    ["as the name of a parameter", head({ query: `${P("QUERY")}=1` }), "credential_misplaced"],
    [
      "encoded twice in the query",
      head({ query: `api_key=${encodeURIComponent(encodeURIComponent(P("QUERY")))}` }),
      "credential_misplaced",
    ],
    ["another path", head({ path: `/echo/${P("BOT")}` }), "credential_misplaced"],
    ["twice in the path", head({ path: `/bot${P("BOT")}/${P("BOT")}` }), "credential_misplaced"],
    ["with letters more", head({ path: `/botx${P("BOT")}/a` }), "credential_misplaced"],
    ["no slot at all", withField("Authorization", `Bearer ${P("NOWHERE")}`), "credential_misplaced"],
    ["a signing key as a field", withField("X-Api-Key", P("SIGN")), "credential_misplaced"],
    ["another server", withField("Authorization", `Bearer ${P("ELSEWHERE")}`), "credential_endpoint_mismatch"],
    ["case-78 a line break", withField("Authorization", `Bearer ${P("CRLF")}`), "credential_unusable"],
    ["case-78 NUL", withField("X-Api-Key", P("NUL")), "credential_unusable"],
    ["case-78 a slash in a path", head({ path: `/bot${P("SLASH")}/a` }), "credential_unusable"],
    ["too short to be masked", withField("X-Api-Key", P("SHORT")), "credential_unusable"],
    ["expired", withField("X-Api-Key", P("OLD")), "credential_expired"],
  ])("%s", (_, from, code) => {
    expect(refusal(from)).toBe(code);
  });

  test("over plain HTTP", () => {
    expect(refusal(withField("Authorization", `Bearer ${P("TOKEN")}`), use({ secure: false }))).toBe("credential_insecure");
  });
});

describe("endpoints of a provider", () => {
  const bound = (
    endpoint: { host?: string; ports?: readonly number[]; path?: string },
    host: string,
    path = "/",
    providers: string[] = [],
  ) =>
    isBoundTo(credential("K", "secret-1", [], { endpoints: [{ host: "api.example", ports: [443], path: "", ...endpoint }] }), {
      host,
      port: 443,
      path,
      providers,
    });
  test.each([
    [{}, "api.example", "/", true],
    [{}, "xapi.example", "/", false],
    [{ host: "*.example" }, "api.example", "/", true],
    [{ host: "*.example" }, "a.api.example", "/", false],
    [{ host: "**.example" }, "a.api.example", "/", true],
    [{ host: "**.example" }, "example", "/", false],
    [{ host: "*.s3.*.aws.example" }, "b.s3.eu.aws.example", "/", true],
    [{ host: "*-ai.example" }, "eu-ai.example", "/", true],
    [{ host: "*-ai.example" }, "a.eu-ai.example", "/", false],
    [{ host: "" }, "api.example", "/", false],
    [{ ports: [] }, "api.example", "/", true],
    [{ ports: [8443] }, "api.example", "/", false],
    [{ path: "/graphql" }, "api.example", "/graphql", true],
    [{ path: "/graphql" }, "api.example", "/graphql/x", false],
    [{ path: "/v1/**" }, "api.example", "/v1/a/b", true],
    [{ path: "/v1/**" }, "api.example", "/v1", true],
    [{ path: "/v1/**" }, "api.example", "/v10", false],
    [{ path: "/v1/*/c" }, "api.example", "/v1/b/c", true],
    [{ path: "/v1/*/c" }, "api.example", "/v1/a/b/c", false],
    [{ path: "/**" }, "api.example", "/", true],
    [{ path: "/**" }, "api.example", "/a%2Fb", true],
    [{ path: "/v1/**" }, "api.example", "/v1/..%2Fadmin", false],
  ])("%p %s%s: %p", (endpoint, host, path, expected) => {
    expect(bound(endpoint, host, path)).toBe(expected);
  });

  test("an endpoint of the policy that binds a provider is for its credentials, and for no other's", () => {
    expect(bound({ host: "never.example" }, "api.example", "/", ["p"])).toBe(true);
    expect(bound({}, "api.example", "/", ["q"])).toBe(false);
    expect(bound({}, "api.example", "/", ["p", "q"])).toBe(false);
  });
});
