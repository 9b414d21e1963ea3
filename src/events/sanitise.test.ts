import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { MAX_COMMAND_LINE, sanitiseCommandLine, sanitisePath } from "./sanitise.ts";

/** Where real programs carry secrets. `S` as a word of its own is the secret. */
const carriers = [
  "curl -H 'Authorization: Bearer S' https://a.example/x",
  'curl -H "Proxy-Authorization: Basic S" https://a.example',
  "curl -H Cookie: session=S; other=1 -v https://a.example",
  "curl -H X-Api-Key: S https://a.example",
  "curl -u user:S https://a.example",
  "curl -uuser:S https://a.example",
  "curl --user user:S https://a.example",
  "git clone https://user:S@a.example/repo.git",
  "git clone https://S@a.example/repo.git",
  "curl https://a.example/x?token=S&y=1",
  "curl https://a.example/x#S",
  "mysql --password S -h db",
  "mysql --password=S -h db",
  "tool --api-key S run",
  "tool --client-secret 'S' run",
  "env GITHUB_TOKEN=S gh repo list",
  "env AWS_SECRET_ACCESS_KEY=S aws s3 ls",
  "env DB_PASSWORD=S run",
  'sh -c export OPENAI_API_KEY="S"; run',
  'curl -d {"password": "S"} https://a.example',
  "tool Bearer S",
  "tool --use-token --password S run",
];

const secrets: Record<string, () => string> = {
  hex: () => randomBytes(20).toString("hex"),
  base64: () => `a1${randomBytes(24).toString("base64url")}`,
  short: () => `Zq${randomBytes(6).toString("hex")}`,
  words: () => `hunter-${randomBytes(3).toString("hex")}-horse`,
  letters: () => "hunter-abcdef-horse",
};

test("no secret comes out, whatever carries it", () => {
  for (const carrier of carriers)
    for (const [kind, make] of Object.entries(secrets))
      for (let round = 0; round < 25; round++) {
        const secret = make();
        const line = sanitiseCommandLine(carrier.replace(/\bS\b/, () => secret));
        expect(`${kind} in ${carrier}: ${line.includes(secret)}`).toBe(`${kind} in ${carrier}: false`);
      }
});

test("keys with a known shape are found anywhere", () => {
  const run = () => randomBytes(20).toString("hex");
  const jwt = `eyJ${run()}.eyJ${run()}.${run()}`;
  for (const key of [
    `sk-${run()}`,
    `sk-ant-api03-${run()}`,
    `ghp_${run()}`,
    `github_pat_${run()}`,
    "AKIAIOSFODNN7EXAMPLE",
    `xoxb-${run()}`,
    jwt,
    `AIza${run()}`,
    `npm_${run()}`,
  ])
    expect(sanitiseCommandLine(`tool run ${key} --verbose`)).toBe("tool run [REDACTED] --verbose");
  expect(sanitiseCommandLine("x -----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY----- y")).toBe("x [REDACTED] y");
});

test("what says which program it was stays readable", () => {
  for (const line of [
    "git clone https://github.com/some-organisation/some-repository.git",
    "python3 -m pip install requests",
    "psql -h db.example -p 5432 -U app",
    "npm install --save-dev typescript",
  ])
    expect(sanitiseCommandLine(line)).toBe(line);
});

test("one printable line of bounded length", () => {
  const line = sanitiseCommandLine(`a\nb\x1b[31m\u202e${"word ".repeat(500)}`);
  expect(line).toMatch(/^[\x20-\x7e]+$/);
  expect(line.length).toBeLessThanOrEqual(MAX_COMMAND_LINE + 3);
});

test("paths lose their query and random segments", () => {
  expect(sanitisePath("/v1/items?token=abc#x")).toBe("/v1/items");
  expect(sanitisePath(`/reset/${"a1b2".repeat(8)}/done`)).toBe("/reset/[REDACTED]/done");
});

test("threat-30 names and paths made to be looked at for long are done as fast as others", () => {
  // Each took seconds where a name was tried from every place in it; a limit of the test's time is what tells.
  for (const part of ["key", "-key", "a-token.", "x-key-", "x-", "://", "sig"])
    for (let round = 0; round < 50; round++) {
      const text = part.repeat(2048);
      expect(sanitiseCommandLine(text)).not.toBeEmpty();
      expect(sanitisePath(`/${text}`)).not.toBeEmpty();
    }
}, 30_000);
