import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OpenShellError } from "../../../error.ts";
import { readCredentialFile } from "./file.ts";

const directory = mkdtempSync(join(tmpdir(), "credentials-"));
afterAll(() => rmSync(directory, { recursive: true }));

const SECRET = "very-secret-value";
const write = (name: string, text: string, mode = 0o600) => {
  const path = join(directory, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
};
const read = (text: string, isWritable = (_: string) => false) =>
  readCredentialFile(write("file.yaml", text), { environment: { FROM_ENV: SECRET }, isWritable });
const problems = (text: string): string[] => {
  try {
    read(text);
  } catch (error) {
    const failure = OpenShellError.from(error);
    const lines = failure.violations.map(({ field, message, line }) => `${line}: ${field}: ${message}`);
    expect(`${failure.message}${lines.join()}`).not.toContain(SECRET);
    return lines;
  }
  return [];
};

describe("credential files", () => {
  test("say whose a secret is, where it comes from, where it may stand and where it may go", () => {
    write("token", `${SECRET}\n`);
    const set = read(`
version: 1
credentials:
  GITHUB_TOKEN:
    provider: github
    file: token
    endpoints: [{host: API.example, ports: [443, 8443], path: /v1/**}, {host: "*.git.example"}]
  KEY:
    env: FROM_ENV
    alias: sk-ant
    slots: [{header: X-Api-Key}, {header: Authorization}, {query: key}, {path: "/bot{credential}/**"}]
    endpoints: [{host: api.example, port: 1}]
  AWS_SECRET_ACCESS_KEY: {value: ${SECRET}, provider: aws}
`);
    expect([...set.values()]).toEqual([
      {
        key: "GITHUB_TOKEN",
        secret: SECRET,
        provider: "github",
        slots: expect.anything(),
        endpoints: [
          { host: "api.example", ports: [443, 8443], path: "/v1/**" },
          { host: "*.git.example", ports: [443], path: "" },
        ],
      },
      {
        key: "KEY",
        secret: SECRET,
        provider: "key",
        alias: "sk-ant",
        slots: [
          { kind: "header", name: "x-api-key", schemes: [""] },
          { kind: "header", name: "authorization", schemes: ["bearer", "token", "basic"] },
          { kind: "query", name: "key" },
          { kind: "path", template: "/bot{credential}/**" },
        ],
        endpoints: [{ host: "api.example", ports: [1], path: "" }],
      },
      {
        key: "AWS_SECRET_ACCESS_KEY",
        secret: SECRET,
        provider: "aws",
        slots: [{ kind: "sigv4", part: "secret_access_key" }],
        endpoints: [],
      },
    ]);
  });

  test("every mistake is reported with its line, and no value is shown", () => {
    expect(
      problems(`version: 1
credentials:
  1BAD: {value: ${SECRET}, provider: p}
  PATH: {value: ${SECRET}, provider: p}
  TWO: {value: ${SECRET}, env: FROM_ENV, provider: p}
  NONE: {provider: p}
  UNSET:
    env: NOT_SET
    provider: p
  NOWHERE: {value: ${SECRET}}
  HOST:
    value: ${SECRET}
    endpoints:
      - host: "*"
  SHORT: {value: abc, provider: p}
  SLOT:
    value: ${SECRET}
    provider: p
    slots: [{path: /x}]
  AWS_ACCESS_KEY_ID: {value: ${SECRET}, provider: p, slots: [{query: x}]}
  MISSING: {file: no-such-file, provider: p}
`),
    ).toEqual([
      '3: credentials["1BAD"]: is not the name of a variable: letters, digits and _, at most 256',
      "4: credentials.PATH: is a variable that OpenShell or the runtime of programs uses",
      "5: credentials.TWO: needs exactly one of env, file and value",
      "6: credentials.NONE: needs exactly one of env, file and value",
      "8: credentials.UNSET.env: names a variable that is not set",
      "10: credentials.NOWHERE.endpoints: is missing: name the servers, or a provider that endpoints of the policy name in credential_binding",
      "14: credentials.HOST.endpoints[0].host: matches every host",
      "15: credentials.SHORT: has a value that is shorter than 6 bytes, too short to be recognised in answers",
      "19: credentials.SLOT.slots[0].path: must start with / and have {credential} once",
      "20: credentials.AWS_ACCESS_KEY_ID.slots: does not go with a key of AWS, which only signs (credential_signing)",
      expect.stringMatching(/^21: credentials\.MISSING\.file: cannot read /),
    ]);
    expect(problems(`version: 2\ncredentials:\n  A: {valu: ${SECRET}}\n  B: [${SECRET}]\n`)).toEqual([
      "1: version: must be 1",
      "3: credentials.A.valu: is not a known field",
      "4: credentials.B: expected a mapping",
    ]);
    expect(problems(`version: 1\ncredentials:\n  A: {value: *${SECRET}}\n`)).toEqual(["3: credentials.A.value: cannot be read as YAML"]);
    expect(problems(`credentials: {}\n`)).toEqual(["1: version: is missing"]);
  });

  test("must be readable by their owner alone, and not be where the program writes", () => {
    const text = `version: 1\ncredentials: {A: {value: ${SECRET}, provider: p}}\n`;
    expect(() => read(text, () => true)).toThrow("inside a path that the program may write");
    for (const mode of [0o640, 0o604, 0o620])
      expect(() => readCredentialFile(write("open.yaml", text, mode), { environment: {}, isWritable: () => false })).toThrow("other users");
    expect(() => readCredentialFile(directory, { environment: {}, isWritable: () => false })).toThrow("not a regular file");
  });
});
