/** Rules about method, path and query, by curl inside a sandbox: what passes, what does not, and what reached the server. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Inside, installed, missingFor, pathOf } from "../clients/inside.ts";

const CURL = installed("curl", "/usr/bin/curl");
const missing = missingFor("rules about requests", CURL);

const endpoint = (path: string, more: string) =>
  `calls.example.com, ports: [80, 443], path: '${path}', protocol: rest, enforcement: enforce, ${more}`;
const ENDPOINTS = [
  endpoint("/written/**", "access: read-write"),
  endpoint("/listed/**", "rules: [{ allow: { method: GET, path: '/listed/*/one' } }, { allow: { method: GET, path: '/listed/all/**' } }]"),
  endpoint(
    "/asked/**",
    "rules: [{ allow: { method: GET, path: '/asked/x', query: { tag: { any: ['a*', 'b'] } } } }, { allow: { method: GET, path: '/asked/free' } }]",
  ),
  endpoint(
    "/denied/**",
    "access: full, deny_rules: [{ method: POST, path: '/denied/here/**' }, { path: '/denied/@me/**' }, { path: '/denied/**', query: { force: '1' } }]",
  ),
  endpoint("/denied/@narrow/**", "access: read-only"),
  endpoint("/encoded/**", "access: read-only, allow_encoded_slash: true"),
];

describe.skipIf(missing !== undefined)("rules about requests", () => {
  let inside: Inside;
  beforeAll(async () => {
    inside = await Inside.open([{ binaries: [pathOf(CURL)], endpoints: ENDPOINTS }]);
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());

  /** The status of each request, sent as `METHOD URL`, and how many reached the server; with the log of the sandbox. */
  async function ask(...requests: readonly string[]) {
    const lines = requests.map((request) => {
      const [method = "", url = ""] = request.split(" ");
      const how = method === "HEAD" ? "--head" : `-X ${method}`;
      return `curl -sS --path-as-is --max-time 20 -o /dev/null -w '%{http_code} ' ${how} '${url}'`;
    });
    const before = (await inside.net.seenWhenQuiet()).requests.length;
    const { stdout, stderr } = await inside.script(lines.join("\n"));
    const arrived = (await inside.net.seenWhenQuiet()).requests.length - before;
    return { statuses: stdout.trim().split(" ").map(Number), arrived, log: stderr };
  }
  const HOST = "https://calls.example.com";

  test("case-53 by plain HTTP through the proxy the same rules hold", async () => {
    const plain = "http://calls.example.com";
    const { statuses, arrived } = await ask(`GET ${plain}/written/a`, `DELETE ${plain}/written/a`, `POST ${plain}/denied/here/a`);
    expect([statuses, arrived]).toEqual([[200, 403, 403], 1]);
  });

  test("case-57 read-write lets write and not delete; case-62 the log names method, address and policy", async () => {
    const { statuses, arrived, log } = await ask(`PUT ${HOST}/written/a`, `PATCH ${HOST}/written/a`, `DELETE ${HOST}/written/a`);
    expect([statuses, arrived]).toEqual([[200, 200, 403], 2]);
    expect(log).toContain("HTTP:PUT [INFO] ALLOWED PUT https://calls.example.com/written/a [policy:rule_0 engine:l7]");
    expect(log).toContain("HTTP:DELETE [MED] DENIED DELETE https://calls.example.com/written/a [policy:rule_0 engine:l7]");
  });

  test("case-59 a listed path passes, another does not; * is one segment, ** is many", async () => {
    const { statuses, arrived } = await ask(
      `GET ${HOST}/listed/a/one`,
      `GET ${HOST}/listed/a/two`,
      `GET ${HOST}/listed/a/b/one`,
      `GET ${HOST}/listed/all/a/b/c`,
      `POST ${HOST}/listed/a/one`,
    );
    expect([statuses, arrived]).toEqual([[200, 403, 403, 200, 403], 2]);
  });

  test("case-63 every value of a query has to match; without a matcher any query passes", async () => {
    const { statuses, arrived } = await ask(
      `GET ${HOST}/asked/x?tag=abc`,
      `GET ${HOST}/asked/x?tag=b`,
      `GET ${HOST}/asked/x?tag=c`,
      `GET ${HOST}/asked/x?tag=abc&tag=c`,
      `GET ${HOST}/asked/x`,
      `GET ${HOST}/asked/free?anything=1`,
    );
    expect([statuses, arrived]).toEqual([[200, 200, 403, 403, 403, 200], 3]);
  });

  test("case-64 HEAD passes where GET does, and a method in lower case is that method", async () => {
    const { statuses, arrived } = await ask(`HEAD ${HOST}/listed/a/one`, `get ${HOST}/listed/a/one`, `post ${HOST}/listed/a/one`);
    expect([statuses, arrived]).toEqual([[200, 200, 403], 2]);
  });

  test("case-65 a deny rule beats full access", async () => {
    const { statuses, arrived } = await ask(`POST ${HOST}/denied/there`, `POST ${HOST}/denied/here/a`, `GET ${HOST}/denied/here/a`);
    expect([statuses, arrived]).toEqual([[200, 403, 200], 2]);
    expect(await ask(`GET ${HOST}/denied/@me/a`, `GET ${HOST}/denied/%40me/a`)).toMatchObject({ statuses: [403, 403], arrived: 0 });
  });

  test("threat-23 a narrow endpoint governs either spelling of its paths; a deny rule about the query holds behind a semicolon too", async () => {
    const narrow = await ask(`POST ${HOST}/denied/%40narrow/a`, `POST ${HOST}/denied/@narrow/a`, `GET ${HOST}/denied/%40narrow/a`);
    expect(narrow).toMatchObject({ statuses: [403, 403, 200], arrived: 1 });
    const queries = await ask(`GET ${HOST}/denied/a?x=1;force=1`, `GET ${HOST}/denied/a?x=1;force=2`, `GET ${HOST}/denied/a?x=1%3Bforce=1`);
    expect(queries).toMatchObject({ statuses: [403, 200, 200], arrived: 2 });
  });

  test("case-66 what has two spellings is sent in the one that was decided on, or refused; %2F passes where the policy says so", async () => {
    const before = (await inside.net.seenWhenQuiet()).requests.length;
    const paths = [
      "/listed/all//x/./%7Ea;v=1/../b",
      "/listed/all/a%2Fb",
      "/listed/all/%c0%ae%c0%ae/x",
      "/listed/all/..%2f..%2fdenied",
      "/encoded/a%2fb",
    ];
    const { statuses } = await ask(...paths.map((path) => `GET ${HOST}${path}`));
    expect(statuses).toEqual([200, 403, 400, 400, 200]);
    const seen = (await inside.net.seenWhenQuiet()).requests.slice(before).map(({ path }) => path);
    expect(seen).toEqual(["/listed/all/x/b", "/encoded/a%2Fb"]);
  });
});
