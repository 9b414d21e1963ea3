import { describe, expect, test } from "bun:test";
import { type Credential, CredentialSet, Credentials, placeholderOf } from "./model.ts";
import { asPlaceholder, hasTrace, masked, maskedPath, placeholdersIn, placeholdersInPath, resolve } from "./placeholder.ts";
import { DEFAULT_SLOTS, slotsOf } from "./slot.ts";

const credential = (key: string, more: Partial<Credential> = {}): Credential => ({
  key,
  secret: `secret-of-${key}`,
  provider: "p",
  slots: [],
  endpoints: [],
  ...more,
});
const HANDLE = "ab".repeat(32);
const set = new CredentialSet([
  credential("TOKEN"),
  credential("BOT", { alias: "sk" }),
  credential("v1_ODD"),
  credential("FRESH", { handle: HANDLE }),
]);

describe("placeholders", () => {
  test("stand for the credential of their name, its revisions and its handle", () => {
    for (const [text, key] of [
      ["openshell:resolve:env:TOKEN", "TOKEN"],
      ["openshell:resolve:env:v7_TOKEN", "TOKEN"],
      ["openshell:resolve:env:v1_ODD", "v1_ODD"],
      [`openshell:resolve:env:s${HANDLE}_FRESH`, "FRESH"],
      ["sk-OPENSHELL-RESOLVE-ENV-BOT", "BOT"],
      ["ghp-OPENSHELL-RESOLVE-ENV-TOKEN", "TOKEN"],
    ] as const) {
      const placeholder = asPlaceholder(text);
      expect(placeholder && resolve(placeholder, set)?.credential.key, text).toBe(key);
    }
    for (const text of [
      "openshell:resolve:env:OTHER",
      "openshell:resolve:env:TOKEN2",
      `openshell:resolve:env:s${"cd".repeat(32)}_FRESH`,
      `openshell:resolve:env:s${HANDLE}_TOKEN`,
      "openshell:resolve:env:__proto__",
      "openshell:resolve:env:constructor",
    ]) {
      const placeholder = asPlaceholder(text);
      expect(placeholder && resolve(placeholder, set), text).toBeUndefined();
    }
    expect(asPlaceholder("openshell:resolve:env:TOKEN ")).toBeUndefined();
    expect(asPlaceholder("openshell:resolve:env:")).toBeUndefined();
  });

  test("that follow each other are each found; a prefix has at most 64 characters", () => {
    const alias = (name: string) => `-OPENSHELL-RESOLVE-ENV-${name}`;
    expect(placeholdersIn(`sk${alias("BOT")}${alias("TOKEN")}`)).toMatchObject([
      { start: 0, name: "BOT", prefix: "sk" },
      { name: "TOKEN", prefix: "" },
    ]);
    expect(placeholdersIn(`${"a".repeat(100)}${alias("BOT")}`)).toMatchObject([{ start: 36, prefix: "a".repeat(64) }]);
    expect(placeholdersIn(`é-_9${alias("BOT")}`)).toMatchObject([{ start: 1, prefix: "-_9" }]);
  });

  test("threat-16 a long text that could begin with a prefix anywhere is looked at once", () => {
    // Each character was once tried as the beginning of a prefix of 64: minutes, not milliseconds.
    const text = `${"A".repeat(64 * 1024 * 1024)} resolve RESOLVE`;
    expect(placeholdersIn(text)).toEqual([]);
    expect(hasTrace(`${"%25".repeat(1_000_000)}openshell%253Aresolve:env:`)).toBe(true);
  });

  test("are found inside other text, an alias without the letters before it", () => {
    const text = "/botsk-OPENSHELL-RESOLVE-ENV-BOT/a/openshell%3Aresolve:env%3ATOKEN";
    const [first, second] = placeholdersInPath(text);
    expect(first && resolve(first, set)).toMatchObject({ start: 4 });
    expect(second && text.slice(second.start)).toBe("openshell%3Aresolve:env%3ATOKEN");
    expect(placeholdersIn("user:openshell:resolve:env:TOKEN")).toMatchObject([{ start: 5, name: "TOKEN" }]);
    expect(masked("a openshell:resolve:env:X, sk-OPENSHELL-RESOLVE-ENV-Y", set)).toBe("a [CREDENTIAL], [CREDENTIAL]");
    expect(maskedPath("/botopenshell%3Aresolve%3Aenv%3AX/send", set)).toBe("/bot[CREDENTIAL]/send");
    expect(maskedPath("/botsk-OPENSHELL-RESOLVE-ENV-BOT/send", set)).toBe("/bot[CREDENTIAL]/send");
  });

  test("leave a trace in every encoding that is looked for", () => {
    const basic = (text: string) => Buffer.from(text).toString("base64");
    for (const text of [
      "OpenShell:Resolve:Env:X",
      "openshell%3aresolve%3Aenv:X",
      "%6fpenshell:resolve:env:X",
      "openshell%253Aresolve%253Aenv%253AX",
      basic("user:openshell:resolve:env:X"),
      basic("uopenshell:resolve:env:X"),
      basic("openshell:resolve:env:X"),
      basic("ab sk-OPENSHELL-RESOLVE-ENV-X"),
      encodeURIComponent(basic("xy openshell:resolve:env:X")),
    ])
      expect(hasTrace(text), text).toBe(true);
    for (const text of ["openshell resolve env", "openshell:resolve", "100% of it", basic("user:password")])
      expect(hasTrace(text)).toBe(false);
  });
});

describe("sets", () => {
  test("give programs placeholders, in the shape of the provider where it has one; the first of a name counts", () => {
    const double = new CredentialSet([credential("A"), credential("A", { alias: "late" }), credential("B", { alias: "sk-ant" })]);
    expect(double.environment()).toEqual({ A: "openshell:resolve:env:A", B: "sk-ant-OPENSHELL-RESOLVE-ENV-B" });
    expect(placeholderOf(credential("C"))).toBe("openshell:resolve:env:C");
    const access = credential("AWS_ACCESS_KEY_ID", { slots: slotsOf("AWS_ACCESS_KEY_ID") });
    expect(placeholderOf(access)).toBe("AKIA-OPENSHELL-RESOLVE-ENV-AWS_ACCESS_KEY_ID");
  });

  test("are replaced at once, and what they held is remembered for masking", () => {
    const credentials = new Credentials(new CredentialSet([credential("A", { secret: "one" })]));
    credentials.replace(new CredentialSet([credential("A", { secret: "two" })]));
    expect([credentials.current.get("A")?.secret, ...credentials.retired]).toEqual(["two", "one"]);
    credentials.replace(new CredentialSet([credential("A", { secret: "one" })]));
    expect([...credentials.retired]).toEqual(["two"]);
    for (let i = 0; i < 100; i++) credentials.replace(new CredentialSet([credential("A", { secret: `s${i}` })]));
    expect([...credentials.retired]).toHaveLength(64);
  });
});

test("slots come from the profile's words; an unknown style has none", () => {
  const declared = (authStyle: string, more = {}) => ({ authStyle, headerName: "", queryParam: "", pathTemplate: "", ...more });
  expect(slotsOf("K")).toBe(DEFAULT_SLOTS);
  expect(slotsOf("K", declared(" "))).toBe(DEFAULT_SLOTS);
  expect(slotsOf("K", declared("bearer"))).toEqual([{ kind: "header", name: "authorization", schemes: ["bearer", "token", "basic"] }]);
  expect(slotsOf("K", declared("header", { headerName: "X-Api-Key" }))).toEqual([{ kind: "header", name: "x-api-key", schemes: [""] }]);
  expect(slotsOf("K", declared("query", { queryParam: "key" }))).toEqual([{ kind: "query", name: "key" }]);
  expect(slotsOf("K", declared("path", { pathTemplate: "/bot{credential}/**" }))).toEqual([
    { kind: "path", template: "/bot{credential}/**" },
  ]);
  expect(slotsOf("K", declared("oauth-dance"))).toEqual([]);
  expect(slotsOf("AWS_SECRET_ACCESS_KEY", declared("bearer"))).toEqual([{ kind: "sigv4", part: "secret_access_key" }]);
});
