/** Requests whose meaning is in the body, by curl inside a sandbox: GraphQL, JSON-RPC and MCP, allowed and refused (case-74). */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Inside, installed, missingFor, pathOf } from "../clients/inside.ts";

const CURL = installed("curl", "/usr/bin/curl");
const missing = missingFor("bodies", CURL);

const endpoint = (path: string, more: string) => `calls.example.com, ports: [80, 443], path: ${path}, enforcement: enforce, ${more}`;
const ENDPOINTS = [
  endpoint("/graphql", "protocol: graphql, access: read-only, deny_rules: [{ operation_type: query, fields: [secrets] }]"),
  endpoint("/audited", "protocol: graphql, access: read-only").replace("enforcement: enforce", "enforcement: audit"),
  endpoint("/rpc", "protocol: json-rpc, rules: [{ allow: { method: eth_call } }]"),
  endpoint("/mcp", "protocol: mcp, rules: [{ allow: { method: tools/list } }, { allow: { method: tools/call, tool: 'read_*' } }]"),
];

/** A command line holds no body of this size. */
const LARGE = `{ printf '{"query":"{ a }","variables":{"x":"'; head -c 70000 /dev/zero | tr '\\0' x; printf '"}}'; } > /tmp/large`;

describe.skipIf(missing !== undefined)("bodies", () => {
  let inside: Inside;
  beforeAll(async () => {
    inside = await Inside.open([{ binaries: [pathOf(CURL)], endpoints: ENDPOINTS }]);
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());

  /** Runs curl once per line of arguments, in one sandbox; gives status and body of each, and what reached the server. */
  async function ask(...requests: readonly (readonly string[])[]) {
    const quoted = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;
    const lines = requests.map((words) => `curl -sS --max-time 20 -w '\\n%{http_code}\\n==\\n' ${words.map(quoted).join(" ")}`);
    const since = (await inside.net.seenWhenQuiet()).requests.length;
    const { stdout, stderr } = await inside.script([LARGE, ...lines].join("\n"));
    const answers = stdout
      .split("==\n")
      .slice(0, -1)
      .map((part) => {
        const [body = "", status = ""] = part.trimEnd().split(/\n(?=\d+$)/);
        return { status: Number(status), body: JSON.parse(body) as Record<string, unknown> };
      });
    if (answers.length !== requests.length) throw new Error(`${stdout}${stderr}`);
    const arrived = (await inside.net.seenWhenQuiet()).requests.slice(since).map(({ method, path }) => `${method} ${path}`);
    return { answers, statuses: answers.map(({ status }) => status), arrived, log: stderr };
  }
  const JSON_TYPE = ["-H", "Content-Type: application/json"];
  const to = (path: string, body: unknown, ...more: string[]) => [
    ...JSON_TYPE,
    "-d",
    typeof body === "string" ? body : JSON.stringify(body),
    ...more,
    `https://calls.example.com${path}`,
  ];

  test("case-74 GraphQL: queries pass byte for byte, mutations are a 403 that names what is missing", async () => {
    const body = '{ "query" : "query A { a } query B { ...F } fragment F on Q { b }" }';
    const { answers, statuses, arrived, log } = await ask(
      to("/graphql", body),
      to("/graphql", { query: "{ a }" }, "-H", "Expect: 100-continue"),
      ["-G", "--data-urlencode", "query={ a }", "https://calls.example.com/graphql"],
      to("/graphql", { query: "mutation { drop }" }),
      to("/graphql", [{ query: "{ a }" }, { query: "mutation { drop }" }]),
      to("/graphql", { query: "{ a: secrets }" }),
      ["-G", "--data-urlencode", "query=mutation { drop }", "https://calls.example.com/graphql"],
    );
    expect(statuses).toEqual([200, 200, 200, 403, 403, 403, 403]);
    expect(answers[0]?.body).toMatchObject({ method: "POST", body });
    expect(answers[3]?.body).toMatchObject({
      error: "policy_denied",
      layer: "l7",
      protocol: "graphql",
      detail: expect.stringContaining("mutation drop"),
      rule_missing: { type: "graphql_allow", method: "POST", path: "/graphql", host: "calls.example.com", port: 443 },
    });
    expect(answers[5]?.body["rule_missing"]).toBeUndefined();
    expect(arrived).toEqual(["POST /graphql", "POST /graphql", expect.stringMatching(/^GET \/graphql\?query=%7b.a.%7d$/i)]);
    expect(log).toMatch(/HTTP:POST .*DENIED .*mutation drop/);
  });

  test("what cannot be read is refused, under audit too; what is only not allowed passes under audit", async () => {
    const { answers, statuses, arrived } = await ask(
      to("/audited", { query: "mutation { drop }" }),
      to("/audited", '{"query":"{a}","query":"mutation { drop }"}'),
      to("/audited", { query: "mutation { drop " }),
      to("/audited", { query: "{ a }" }, "-H", "Content-Encoding: gzip"),
      ["-d", '{"query":"{ a }"}', "https://calls.example.com/audited"],
      to("/audited", "@/tmp/large"),
      to("/audited", "@/tmp/large", "-H", "Transfer-Encoding: chunked"),
      to("/audited?query=mutation%7Bdrop%7D", { query: "{ a }" }),
      ["-X", "GET", ...to("/audited?query=%7Ba%7D", { query: "mutation { drop }" })],
    );
    expect(statuses).toEqual([200, 400, 400, 415, 415, 413, 413, 400, 400]);
    expect(answers[1]?.body).toMatchObject({ error: "bad_request", reason: "json_duplicate" });
    expect(answers[5]?.body["detail"]).toMatch(/^body of 700\d\d bytes, at most 65536 are read/);
    expect(arrived).toEqual(["POST /audited"]);
  });

  test("case-74 JSON-RPC: every call of a batch is decided; responses of a client do not pass", async () => {
    const call = (method: string) => ({ jsonrpc: "2.0", id: 1, method, params: [] });
    const { answers, statuses, arrived } = await ask(
      to("/rpc", call("eth_call")),
      to("/rpc", call("eth_sendTransaction")),
      to("/rpc", [call("eth_call"), call("eth_sendTransaction")]),
      to("/rpc", { jsonrpc: "2.0", id: 1, result: 1 }),
      to("/rpc", "[]"),
      ["https://calls.example.com/rpc"],
    );
    expect(statuses).toEqual([200, 403, 403, 403, 400, 403]);
    expect(answers[1]?.body).toMatchObject({ protocol: "json-rpc", rule_missing: { type: "json_rpc_allow" } });
    expect(arrived).toEqual(["POST /rpc"]);
  });

  test("case-74 MCP: tools by name, the server's stream by GET, sessions are not ended", async () => {
    const tool = (name: unknown) => ({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: {} } });
    const { answers, statuses, arrived } = await ask(
      to("/mcp", tool("read_file")),
      to("/mcp", { jsonrpc: "2.0", id: 1, result: {} }),
      ["https://calls.example.com/mcp"],
      to("/mcp", tool("write_file")),
      to("/mcp", tool("read file")),
      to("/mcp", { jsonrpc: "2.0", id: 1, method: "resources/read" }),
      to("/mcp", { jsonrpc: "2.0", id: 1, method: "tools/list", Method: "tools/call" }),
      ["-X", "DELETE", "https://calls.example.com/mcp"],
      ["-X", "GET", ...to("/mcp", tool("write_file"))],
    );
    expect(statuses).toEqual([200, 200, 200, 403, 403, 403, 400, 403, 400]);
    expect(answers[3]?.body).toMatchObject({
      detail: expect.stringContaining("tools/call write_file"),
      rule_missing: { type: "mcp_allow" },
    });
    expect(arrived).toEqual(["POST /mcp", "POST /mcp", "GET /mcp"]);
  });

  test("a request that asks to be taken for another method is refused", async () => {
    const override = (method: string) => ["-H", `X-HTTP-Method-Override: ${method}`, "https://calls.example.com/mcp"];
    const { answers, statuses, arrived } = await ask(override("DELETE"), override("get"));
    expect(statuses).toEqual([400, 200]);
    expect(answers[0]?.body["reason"]).toBe("method_override");
    expect(arrived).toEqual(["GET /mcp"]);
  });

  test("over HTTP/2 alike", async () => {
    const { answers, statuses, arrived } = await ask(
      to("/graphql", { query: "{ a }" }, "--http2"),
      to("/graphql", { query: "mutation { drop }" }, "--http2"),
      to("/audited", "@/tmp/large", "--http2"),
      ["--http2", "-G", "--data-urlencode", "query={ a }", "https://calls.example.com/graphql"],
      ["--http2", "https://calls.example.com/mcp"],
    );
    expect(statuses).toEqual([200, 403, 413, 200, 200]);
    expect(answers[0]?.body["body"]).toBe(JSON.stringify({ query: "{ a }" }));
    expect(arrived.map((line) => line.slice(0, 14))).toEqual(["POST /graphql", "GET /graphql?q", "GET /mcp"]);
  });

  test("over plain HTTP alike", async () => {
    const plain = (query: string) => [...JSON_TYPE, "-d", JSON.stringify({ query }), "http://calls.example.com/graphql"];
    const { statuses, arrived } = await ask(plain("{ a }"), plain("mutation { drop }"));
    expect(statuses).toEqual([200, 403]);
    expect(arrived).toEqual(["POST /graphql"]);
  });
});
