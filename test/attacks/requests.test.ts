/** Requests that two programs could read differently: each is refused, or means what policy, resolver and log say it means. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Seen } from "../internet/seen.ts";
import { Arena, missingForAttacks, type Outcome, PERL, rule } from "./arena.ts";

const missing = missingForAttacks();
if (missing !== undefined) console.log(`skipped: attacks by requests: ${missing}`);

const connect = (authority: string, host = authority) => `CONNECT ${authority} HTTP/1.1\\r\\nHost: ${host}\\r\\n\\r\\n`;
const get = (url: string, host: string, rest = "") => `GET ${url} HTTP/1.1\\r\\nHost: ${host}\\r\\n${rest}\\r\\n`;
/** Escaped bytes of a text in UTF-8, for a line of the request file. */
const utf8 = (text: string) =>
  [...Buffer.from(text)].map((byte) => (byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`)).join("");

/** What must come of each request: name → [request, answer]. */
const requests: Readonly<Record<string, readonly [string, string]>> = {
  // Controls: the allowed host in its plain spellings.
  plain: [connect("api.example.com:80"), "200"],
  "upper case (case-39)": [connect("API.Example.COM:80"), "200"],
  "trailing dot": [connect("api.example.com.:80"), "200"],
  "trailing dot in one place": [connect("api.example.com.:80", "api.example.com:80"), "200"],
  "no port in Host": [connect("api.example.com:80", "api.example.com"), "200"],
  forward: [get("http://api.example.com/control", "api.example.com"), "200"],

  "two trailing dots": [connect("api.example.com..:80"), "400 authority"],
  "leading dot": [connect(".api.example.com:80"), "400 authority"],
  "empty label": [connect("api..example.com:80"), "400 authority"],
  "no port": [connect("api.example.com"), "400 authority"],
  "empty port": [connect("api.example.com:"), "400 authority"],
  "port 0": [connect("api.example.com:0"), "400 authority"],
  "port 65616, which is 80 in 16 bits": [connect("api.example.com:65616"), "400 authority"],
  "port with a leading zero": [connect("api.example.com:080"), "400 authority"],
  "port with a sign": [connect("api.example.com:+80"), "400 authority"],
  "two ports": [connect("api.example.com:80:443"), "400 authority"],
  "wrong port (case-26)": [connect("api.example.com:81"), "403 port_not_allowed"],

  "userinfo in CONNECT": [connect("api.example.com:80@nowhere.example.com:80"), "400 authority"],
  "userinfo with the allowed host": [connect("nowhere.example.com@api.example.com:80"), "400 authority"],
  "userinfo in a URL": [get("http://api.example.com@nowhere.example.com/", "nowhere.example.com"), "400 authority"],
  "userinfo and password in a URL": [get("http://api.example.com:80@nowhere.example.com/", "nowhere.example.com"), "400 authority"],
  "backslash before the at sign": [get("http://api.example.com\\x5c@nowhere.example.com/", "api.example.com"), "400 authority"],
  "fragment in front of the host": [get("http://nowhere.example.com#@api.example.com/", "api.example.com"), "400 target"],

  "NUL behind the allowed host": [connect("api.example.com\\x00.nowhere.example.com:80"), "400 control_byte"],
  "NUL in Host": [connect("api.example.com:80", "api.example.com\\x00:80"), "400 control_byte"],
  "CR in the authority": [connect("api.example.com\\r:80"), "400 control_byte"],
  "LF in the authority": [connect("api.example.com\\n:80"), "400 bare_lf"],
  "CRLF in the authority": [connect("api.example.com:80 HTTP/1.1\\r\\nHost: nowhere.example.com:80\\r\\nX:"), "400 host"],
  "tab in the authority": [connect("api.example.com\\x09:80"), "400 authority"],
  "blank in the authority": [connect("api.example.com :80"), "400 request_line"],
  "percent-encoded dot": [connect("api%2eexample.com:80"), "400 authority"],
  "percent-encoded NUL": [connect("api.example.com%00.nowhere.example.com:80"), "400 authority"],

  "Cyrillic look-alike": [connect(utf8("аpi.example.com:80")), "403 host_not_allowed"],
  "look-alike in punycode": [connect("xn--pi-6kc.example.com:80"), "403 host_not_allowed"],
  "punycode of plain ASCII": [connect("xn--api-.example.com:80"), "400 authority"],
  "full-width letters fold to the allowed host": [connect(utf8("ａｐｉ.example.com:80")), "200"],
  "ideographic full stop": [connect(utf8("api。example。com:80"), "api.example.com:80"), "200"],
  "zero width joiner": [connect(utf8("api\u200d.example.com:80")), "400 authority"],
  "soft hyphen": [connect(utf8("a\u00adpi.example.com:80")), "200"],
  "not UTF-8": [connect("api\\xff.example.com:80", "api.example.com:80"), "400 authority"],
  "overlong UTF-8 dot": [connect("api\\xc0\\xaeexample.com:80", "api.example.com:80"), "400 authority"],

  "octal IPv4": [connect("0135.0270.0330.042:80"), "400 authority"],
  "hexadecimal IPv4": [connect("0x5d.0xb8.0xd8.0x22:80"), "400 authority"],
  "decimal IPv4": [connect("1572395042:80"), "400 authority"],
  "hexadecimal number": [connect("0x5db8d822:80"), "400 authority"],
  "short IPv4": [connect("93.12113954:80"), "400 authority"],
  "IPv4 with a trailing dot": [connect("93.184.216.34.:80"), "403 host_not_allowed"],
  "full-width digits": [connect(utf8("９３.184.216.34:80")), "400 authority"],
  "five numbers": [connect("93.184.216.34.1:80"), "400 authority"],
  "loopback in octal": [connect("0177.0.0.1:80"), "400 authority"],
  "loopback, short": [connect("127.1:80"), "400 authority"],
  "loopback, decimal": [connect("2130706433:80"), "400 authority"],
  "all zeros, short": [connect("0:80"), "400 authority"],
  "IPv6 without brackets": [connect("2606:2800::1:80"), "400 authority"],
  "IPv6 with a zone": [connect("[fe80::1%25eth0]:80"), "400 authority"],
  "unclosed bracket": [connect("[::1:80"), "400 authority"],
  "name in brackets": [connect("[api.example.com]:80"), "400 authority"],

  "another Host than the target": [connect("api.example.com:80", "nowhere.example.com:80"), "400 host"],
  "another port in Host": [connect("api.example.com:80", "api.example.com:81"), "400 host"],
  "two Host fields": [
    `CONNECT api.example.com:80 HTTP/1.1\\r\\nHost: api.example.com:80\\r\\nHost: api.example.com:80\\r\\n\\r\\n`,
    "400 host",
  ],
  "no Host field": [`CONNECT api.example.com:80 HTTP/1.1\\r\\n\\r\\n`, "400 host"],
  "another Host than the URL": [get("http://api.example.com/", "nowhere.example.com"), "400 host"],
  "HTTP/2 preface": ["PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n", "505 http_version"],
  // One spelling is decided on and sent on.
  "lower-case connect": [`connect api.example.com:80 HTTP/1.1\\r\\nHost: api.example.com:80\\r\\n\\r\\n`, "200"],
  "lower-case connect to another host": [
    `connect nowhere.example.com:80 HTTP/1.1\\r\\nHost: nowhere.example.com:80\\r\\n\\r\\n`,
    "403 host_not_allowed",
  ],
  "empty line first": [`\\r\\n${connect("api.example.com:80")}`, "400 empty_line"],
  "bare LF": ["CONNECT api.example.com:80 HTTP/1.1\\nHost: api.example.com:80\\n\\n", "400 bare_lf"],
  "blank before the colon": ["CONNECT api.example.com:80 HTTP/1.1\\r\\nHost : api.example.com:80\\r\\n\\r\\n", "400 field_name"],
  "folded line": ["CONNECT api.example.com:80 HTTP/1.1\\r\\nHost: api.example.com:80\\r\\nX: a\\r\\n b\\r\\n\\r\\n", "400 obs_fold"],

  "CONNECT with a body": [
    `CONNECT api.example.com:80 HTTP/1.1\\r\\nHost: api.example.com:80\\r\\nContent-Length: 4\\r\\n\\r\\nbody`,
    "400 connect_body",
  ],
  "CONNECT with chunks": [
    `CONNECT api.example.com:80 HTTP/1.1\\r\\nHost: api.example.com:80\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n`,
    "400 connect_body",
  ],
  "both framings": [
    get("http://api.example.com/", "api.example.com", "Content-Length: 5\\r\\nTransfer-Encoding: chunked\\r\\n"),
    "400 content_length_and_transfer_encoding",
  ],
  "two lengths": [
    get("http://api.example.com/", "api.example.com", "Content-Length: 5\\r\\nContent-Length: 6\\r\\n"),
    "400 content_length",
  ],

  "case-28 not for a proxy": ["GET / HTTP/1.1\\r\\nHost: api.example.com\\r\\n\\r\\n", "400 not_a_proxy_request"],
  "case-28 no rule": [get("http://nowhere.example.com/", "nowhere.example.com"), "403 host_not_allowed"],
  "case-51 https URL": [get("https://api.example.com/", "api.example.com"), "400 use_connect"],
  "ftp URL": [get("ftp://api.example.com/", "api.example.com"), "400 scheme"],
  TRACE: ["TRACE http://api.example.com/ HTTP/1.1\\r\\nHost: api.example.com\\r\\n\\r\\n", "405 trace"],
  "case-40 head of more than 8192 bytes": [
    get("http://api.example.com/", "api.example.com", `X: ${"x".repeat(8192)}\\r\\n`),
    "431 head_too_large",
  ],
  "101 fields": [get("http://api.example.com/", "api.example.com", "X: y\\r\\n".repeat(100)), "431 too_many_fields"],
};

describe.skipIf(missing !== undefined)("requests", () => {
  let arena: Arena;
  let outcome: Outcome;
  let seen: Seen;

  beforeAll(async () => {
    arena = await Arena.open({ "nowhere.example.com": ["93.184.216.40"] });
    const folder = arena.directory("requests");
    chmodSync(folder, 0o755);
    const lines = Object.entries(requests).map(([name, [request]]) => `${name}\t${request}\n`);
    writeFileSync(join(folder, "list"), lines.join(""));
    outcome = await arena.run("requests.pl", {
      network: rule("own", "api.example.com", 80, [PERL]),
      env: { REQUESTS: "/requests/list" },
      mounts: [`${folder}:/requests:ro`],
    });
    if (outcome.exitCode !== 0) throw new Error(`exit ${outcome.exitCode}: ${outcome.stdout}${outcome.stderr}`);
    seen = await arena.net.seenWhenQuiet();
  }, 60_000);
  afterAll(() => arena?.[Symbol.asyncDispose]());

  for (const [name, [, expected]] of Object.entries(requests)) {
    test(`${name}: ${expected}`, () => expect(outcome.probes[name]).toBe(expected));
  }

  test("case-54: a second request behind the first never reaches the server", () => {
    expect(outcome.probes["pipelined 0"]).toBe("1 answers");
    expect(outcome.probes["pipelined 1"]).toBe("1 answers");
    expect(outcome.probes["behind a refusal"]).toBe("1 answers");
    const paths = seen.requests.map(({ path }) => path);
    expect(paths).toContain("/first-0");
    expect(paths).toContain("/first-1");
    expect(paths.filter((path) => /smuggled|behind/.test(path))).toEqual([]);
  });

  test("a head may come byte by byte, slow ones end with 408 and keep nobody waiting, a huge one is 431", () => {
    expect(outcome.probes["byte by byte"]).toBe("200");
    expect(outcome.probes["others beside slow heads"]).toBe("200");
    expect(outcome.probes["slow head"]).toBe("408 head_timeout");
    expect(outcome.probes["huge head"]).toBe("431 head_too_large");
  });

  test("nothing but the allowed host was asked of DNS or connected to", () => {
    expect(new Set(seen.questions.map(({ name }) => name))).toEqual(new Set(["api.example.com"]));
    for (const { address } of seen.connections) expect(["93.184.216.34", "2606:2800::1"]).toContain(address);
  });

  test("case-29: the log says who went where, by which engine", () => {
    expect(outcome.stderr).toMatch(/ALLOWED \/usr\/bin\/perl\(\d+\) -> api\.example\.com:80 \[policy:own engine:opa\]/);
    expect(outcome.stderr).toMatch(/DENIED \/usr\/bin\/perl\(\d+\) -> nowhere\.example\.com:80 .*engine:opa/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control bytes are what is looked for
    expect(outcome.stderr).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\uffff]/);
  });
});
