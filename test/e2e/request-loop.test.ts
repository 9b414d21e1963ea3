/** The loop for requests: refused inside a connection, proposed, approved, allowed, and nothing else with it. With the compiled binary. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, realpathSync } from "node:fs";
import { eventually } from "../eventually.ts";
import { missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";
import { type DraftChunk, Installation, missingBinary } from "./installation.ts";

const CURL = "/usr/bin/curl";
const missing = missingForTestInternet() ?? missingBinary() ?? (existsSync(CURL) ? undefined : `${CURL} is not installed`);
if (missing !== undefined) console.log(`skipped: the loop for requests: ${missing}`);

/** A proposal takes up to ten seconds behind another; a slow machine needs its time too. Milliseconds. */
const WITHIN_MS = 120_000;
/** For everything in one test. Milliseconds. */
const TEST_MS = 480_000;

const POLICY = `version: 1
network_policies:
  api:
    endpoints:
      - { host: api.example.com, ports: [80, 443], protocol: rest, access: read-only, enforcement: enforce,
          deny_rules: [{ method: POST, path: "/admin/**" }] }
      - { host: cdn.example.net, port: 80, path: /graphql, protocol: graphql, access: read-only, enforcement: enforce }
      - { host: cdn.example.net, port: 80, path: /mcp, protocol: mcp, enforcement: enforce, rules: [{ allow: { method: tools/list } }] }
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
  const rulesOf = ({ endpoints }: DraftChunk["proposed_rule"]) =>
    (endpoints as readonly Rules[]).flatMap(({ rules = [] }) => rules.map(({ allow }) => `${allow.method} ${allow.path}`));
  /** The pending chunk with this request, as soon as there is one. */
  const proposing = (request: string, host = "api.example.com", endpoints = 1): Promise<DraftChunk> =>
    eventually(
      `a proposal for ${request}`,
      WITHIN_MS,
      async () =>
        (await shell.drafts("box")).find(({ status: state, proposed_rule }) => {
          const about = proposed_rule.endpoints;
          return state === "pending" && about[0]?.host === host && about.length === endpoints && rulesOf(proposed_rule).includes(request);
        }),
      async () => `${JSON.stringify((await shell.drafts("box")).map((chunk) => [chunk.status, ...rulesOf(chunk.proposed_rule)]))}`,
    );
  const proposed = () => shell.waitForDraft("box", "api.example.com", WITHIN_MS) as Promise<Shown>;

  test(
    "a POST that a read-only rule refuses is proposed with method and path, and after the approval passes; a PUT elsewhere does not",
    async () => {
      expect(await status("POST", "https://api.example.com/repos/acme/issues?token=sesame")).toBe("403");
      const chunk = await proposed();
      expect(rulesOf(chunk.proposed_rule)).toEqual(["POST /repos/acme/issues"]);
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

  test(
    "what is tried next is proposed together, over HTTP and TLS apart; what a deny rule refuses never",
    async () => {
      expect(await status("POST", "http://api.example.com/admin/users")).toBe("403");
      expect(await status("PUT", "http://api.example.com/users/42")).toBe("403");
      const first = (await shell.waitForDraft("box", "api.example.com:80", WITHIN_MS)) as Shown;
      expect(rulesOf(first.proposed_rule)).toEqual(["PUT /users/*"]);
      expect(await status("DELETE", "http://api.example.com/keys/7c9e6679-7425-40de-944b-e07fc1f90ae7")).toBe("403");
      const both = await proposing("DELETE /keys/*");
      expect(rulesOf(both.proposed_rule)).toEqual(["PUT /users/*", "DELETE /keys/*"]);
      await shell.must("sandbox", "draft", "approve", "box", both.id, "--yes", "--wait");
      expect(await status("PUT", "http://api.example.com/users/43")).toBe("200");
      expect(await status("DELETE", "http://api.example.com/keys/1")).toBe("200");
      expect(await status("DELETE", "http://api.example.com/users/43")).toBe("403");
      expect(await status("PUT", "https://api.example.com/users/43")).toBe("403");
      expect(await status("POST", "http://api.example.com/admin/users")).toBe("403");
      expect(await shell.must("logs", "box")).toMatch(/no rule is proposed .*POST \/admin\/users: a deny rule refuses it/);
    },
    TEST_MS,
  );

  test(
    "a first proposal lets any request through and tells of each; undo and --once hold for requests as well",
    async () => {
      expect(await status("GET", "https://other.example.com/")).not.toBe("200");
      const open = (await shell.waitForDraft("box", "other.example.com", WITHIN_MS)) as Shown;
      expect(open.sentence).toContain("ANY request, uploads included (each is logged, none is refused)");
      await shell.must("sandbox", "draft", "approve", "box", open.id, "--yes", "--wait");
      expect(await status("POST", "https://other.example.com/anything")).toBe("200");
      await eventually("the request in the log", WITHIN_MS, async () =>
        /HTTP:POST.*other\.example\.com\/anything/.test(await shell.must("logs", "box")) ? true : undefined,
      );

      expect(await status("PATCH", "https://api.example.com/once")).toBe("403");
      const once = await proposing("PATCH /once");
      await shell.must("sandbox", "draft", "approve", "box", once.id, "--yes", "--wait", "--once");
      expect(await status("PATCH", "https://api.example.com/once")).toBe("200");
      expect(await status("PATCH", "https://api.example.com/once")).toBe("403");
      const again = await proposing("PATCH /once");
      expect(again.id).not.toBe(once.id);
      await shell.must("sandbox", "draft", "approve", "box", again.id, "--yes", "--wait");
      expect(await status("PATCH", "https://api.example.com/once")).toBe("200");
      await shell.must("sandbox", "draft", "undo", "box", again.id, "--wait");
      expect(await status("PATCH", "https://api.example.com/once")).toBe("403");
      expect(await status("POST", "https://api.example.com/repos/acme/issues")).toBe("200");
    },
    TEST_MS,
  );

  test(
    "operations of GraphQL and tools of MCP are proposed by name, and nothing else passes with them",
    async () => {
      const json = (path: string, body: object) =>
        curl(
          "-o",
          "/dev/null",
          "-w",
          "%{http_code}",
          "-H",
          "content-type: application/json",
          "-d",
          JSON.stringify(body),
          `http://cdn.example.net${path}`,
        );
      const star = { query: "mutation { addStar(id: 1) { id } }" };
      const search = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "search", arguments: { q: "x" } } };
      expect([await json("/graphql", star), await json("/mcp", search)]).toEqual(["403", "403"]);
      const chunk = (await proposing("tools/call ", "cdn.example.net", 2)) as Shown;
      expect(chunk.sentence).toContain("mutation addStar");
      expect(chunk.sentence).toContain("tools/call with name 'search'");
      expect(chunk.request_samples.map(({ method }) => method).sort()).toEqual(["mutation addStar", "tools/call search"]);
      await shell.must("sandbox", "draft", "approve", "box", chunk.id, "--yes", "--wait");
      expect([await json("/graphql", star), await json("/mcp", search)]).toEqual(["200", "200"]);
      expect(await json("/graphql", { query: "mutation { dropAll }" })).toBe("403");
      expect(await json("/mcp", { ...search, params: { name: "delete_file" } })).toBe("403");
    },
    TEST_MS,
  );
});
