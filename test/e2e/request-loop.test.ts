/** The loop for requests: refused inside a connection, proposed, approved, allowed, and nothing else with it. With the compiled binary. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, realpathSync } from "node:fs";
import { missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";
import { type DraftChunk, Installation, missingBinary } from "./installation.ts";

const CURL = "/usr/bin/curl";
const missing = missingForTestInternet() ?? missingBinary() ?? (existsSync(CURL) ? undefined : `${CURL} is not installed`);
if (missing !== undefined) console.log(`skipped: the loop for requests: ${missing}`);

/** A proposal takes up to ten seconds behind another; a slow machine needs its time too. Milliseconds. */
const WITHIN_MS = 60_000;
/** For everything in one test. Milliseconds. */
const TEST_MS = 240_000;

const POLICY = `version: 1
network_policies:
  api:
    endpoints:
      - { host: api.example.com, ports: [80, 443], protocol: rest, access: read-only, enforcement: enforce,
          deny_rules: [{ method: POST, path: "/admin/**" }] }
    binaries: [{ path: ${existsSync(CURL) ? realpathSync(CURL) : CURL} }]
`;

interface Rules {
  readonly rules?: readonly { readonly allow: { readonly method: string; readonly path: string } }[];
}

interface Shown extends DraftChunk {
  readonly stage: string;
  readonly sentence: string;
  readonly request_samples: readonly { method: string; path: string; decision: string; count: number }[];
  readonly replay: { readonly activity_total: number; readonly activity_allowed: number; readonly other_allowed: number };
}

describe.skipIf(missing !== undefined)("the loop for requests", () => {
  let net: TestInternet;
  let shell: Installation;

  beforeAll(async () => {
    net = await openTestInternet();
    shell = new Installation(net);
    await shell.startGateway();
    await shell.create("box", POLICY);
  });
  afterAll(async () => {
    await shell?.[Symbol.asyncDispose]();
    await net?.[Symbol.asyncDispose]();
  });

  const curl = async (...argv: string[]) => (await shell.exec("box", CURL, "-sS", "--max-time", "20", ...argv)).stdout;
  const status = async (method: string, url: string) => curl("-X", method, "-o", "/dev/null", "-w", "%{http_code}", url);
  const arrived = async (since: number) => (await net.seenWhenQuiet()).requests.slice(since).map(({ method, path }) => `${method} ${path}`);
  const count = async () => (await net.seenWhenQuiet()).requests.length;
  const rulesOf = ({ proposed_rule }: DraftChunk) =>
    (proposed_rule.endpoints as readonly Rules[]).flatMap(({ rules = [] }) => rules.map(({ allow }) => `${allow.method} ${allow.path}`));
  const proposed = () => shell.waitForDraft("box", "api.example.com", WITHIN_MS) as Promise<Shown>;

  test(
    "a POST that a read-only rule refuses is proposed with method and path, and after the approval passes; a PUT elsewhere does not",
    async () => {
      expect(await status("POST", "https://api.example.com/repos/acme/issues?token=sesame")).toBe("403");
      const chunk = await proposed();
      expect(rulesOf(chunk)).toEqual(["POST /repos/acme/issues"]);
      expect(chunk).toMatchObject({
        stage: "refined",
        sentence: "curl may also ask api.example.com on port 443 for POST /repos/acme/issues",
        request_samples: [{ method: "POST", path: "/repos/acme/issues", decision: "deny", count: 1 }],
        replay: { activity_total: 1, activity_allowed: 1, other_allowed: 0 },
      });
      const said = await shell.must("sandbox", "draft", "box");
      expect(said).toContain("curl may also ask api.example.com on port 443 for POST /repos/acme/issues");
      expect(said + JSON.stringify(chunk)).not.toContain("sesame");
      await shell.must("sandbox", "draft", "approve", "box", chunk.id, "--yes", "--wait");
      const since = await count();
      expect(await status("POST", "https://api.example.com/repos/acme/issues")).toBe("200");
      expect(await status("GET", "https://api.example.com/repos/acme/issues")).toBe("200");
      expect(await status("PUT", "https://api.example.com/repos/acme/other")).toBe("403");
      expect(await status("POST", "https://api.example.com/repos/acme/other")).toBe("403");
      expect(await status("POST", "https://api.example.com/repos/acme/issues/1")).toBe("403");
      expect(await arrived(since)).toEqual(["POST /repos/acme/issues", "GET /repos/acme/issues"]);
      expect(await shell.must("sandbox", "draft", "history", "box")).toContain("for POST /repos/acme/issues");
    },
    TEST_MS,
  );
});
