import { describe, expect, test } from "bun:test";
import { bodyKind, MAX_REPLACED_PLACEHOLDERS, substituteBody, substituteMessage, unreadableBody } from "./body.ts";
import { CredentialSet } from "./model.ts";
import { CredentialRefused } from "./refused.ts";
import type { Use } from "./substitute.ts";

const SECRET = 'q"u\\o/t é+&=';
const use: Use = {
  set: new CredentialSet([
    {
      key: "KEY",
      secret: SECRET,
      provider: "p",
      slots: [{ kind: "header", name: "x-api-key", schemes: [""] }],
      endpoints: [{ host: "a.example", ports: [], path: "" }],
    },
    { key: "ELSE", secret: "elsewhere", provider: "q", slots: [{ kind: "query", name: "k" }], endpoints: [] },
  ]),
  destination: { host: "a.example", port: 443, path: "/", providers: [] },
  secure: true,
  now: 0,
};
const P = "openshell:resolve:env:KEY";
const sent = (body: string, kind: "json" | "form" | "text") => substituteBody(Buffer.from(body), kind, use).value.toString();
const code = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof CredentialRefused) return error.code;
    throw error;
  }
  return "sent";
};

describe("bodies of endpoints with request_body_credential_rewrite", () => {
  test("get the secret as their kind spells it", () => {
    expect(JSON.parse(sent(JSON.stringify({ a: P, b: [`x ${P}\n${P}`] }), "json"))).toEqual({ a: SECRET, b: [`x ${SECRET}\n${SECRET}`] });
    expect([...new URLSearchParams(sent(`a=1&key=${encodeURIComponent(P)}&b=x${P}+y`, "form"))]).toEqual([
      ["a", "1"],
      ["key", SECRET],
      ["b", `x${SECRET} y`],
    ]);
    expect(sent(`key ${P}.`, "text")).toBe(`key ${SECRET}.`);
    expect(substituteMessage(`{"token":"${P}"}`, use).value).toBe(JSON.stringify({ token: SECRET }));
    expect(substituteMessage(`AUTH ${P}`, use).value).toBe(`AUTH ${SECRET}`);
  });

  test("stay byte for byte what they are without one", () => {
    const body = Buffer.from([0xff, 0xfe, 0x00]);
    expect(substituteBody(body, "text", use).value).toBe(body);
    expect(sent('{"a" :\t"\\u00e9\\/"}', "json")).toBe('{"a" :\t"\\u00e9\\/"}');
  });

  test.each([
    ["unknown", '{"a":"openshell:resolve:env:NONE"}', "json", "credential_unknown"],
    ["another provider's", '{"a":"openshell:resolve:env:ELSE"}', "json", "credential_endpoint_mismatch"],
    ["another case", '{"a":"OpenShell:resolve:env:KEY"}', "json", "credential_body"],
    ["escaped", '{"a":"\\u006fpenshell:resolve:env:KEY"}', "json", "credential_body"],
    ["in base64", `{"a":"${Buffer.from(`ab${P}`).toString("base64")}"}`, "json", "credential_body"],
    ["a form field's name", `${encodeURIComponent(P)}=1`, "form", "credential_body"],
    ["a bad escape", `a=%zz${P}`, "form", "credential_body"],
    ["encoded twice", `a=${encodeURIComponent(encodeURIComponent(P))}`, "form", "credential_body"],
  ] as const)("%s", (_, body, kind, expected) => {
    expect(code(() => sent(body, kind))).toBe(expected);
  });

  test("not UTF-8, with a placeholder", () => {
    expect(code(() => substituteBody(Buffer.concat([Buffer.from([0xff]), Buffer.from(P)]), "text", use))).toBe("credential_body");
  });

  test("kinds and encodings", () => {
    expect(
      ["application/json; charset=utf-8", "application/vnd.api+json", "text/plain", "application/x-www-form-urlencoded"].map(bodyKind),
    ).toEqual(["json", "json", "text", "form"]);
    expect([undefined, "application/octet-stream", "multipart/form-data; boundary=x"].map(bodyKind)).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(unreadableBody("application/json", undefined)).toBeUndefined();
    expect(unreadableBody('text/plain; charset="UTF-8"', "identity")).toBeUndefined();
    expect(unreadableBody("application/json", "gzip")).toContain("gzip");
    expect(unreadableBody("text/plain; charset=utf-16", undefined)).toContain("UTF-8");
  });
});

test("threat-16 as many placeholders as a program needs are replaced, and no more", () => {
  const many = (count: number, between: string) => Array.from({ length: count }, () => P).join(between);
  expect(sent(many(MAX_REPLACED_PLACEHOLDERS, " "), "text")).toBe(Array(MAX_REPLACED_PLACEHOLDERS).fill(SECRET).join(" "));
  expect(code(() => sent(many(MAX_REPLACED_PLACEHOLDERS + 1, " "), "text"))).toBe("credential_body");
  expect(code(() => sent(`a=${many(200, "+")}&b=${many(57, "+")}`, "form"))).toBe("credential_body");
  expect(code(() => substituteMessage(many(100_000, " "), use))).toBe("credential_body");
});
