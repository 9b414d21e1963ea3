import { describe, expect, test } from "bun:test";
import { type HeadResult, MAX_HEAD_BYTES, readHead } from "./head.ts";

const read = (text: string): HeadResult => readHead(Buffer.from(text, "latin1"));
const connect = (fields: string) => `CONNECT a.example:443 HTTP/1.1\r\n${fields}\r\n`;
const get = (fields: string) => `GET http://a.example/ HTTP/1.1\r\n${fields}\r\n`;

describe("accepted", () => {
  const accepted: [string, string, object][] = [
    [
      "CONNECT",
      "CONNECT api.github.com:443 HTTP/1.1\r\nHost: api.github.com:443\r\n\r\n",
      { kind: "connect", authority: { host: "api.github.com", port: 443 } },
    ],
    ["CONNECT whose Host has no port", connect("Host: a.example\r\n"), { kind: "connect" }],
    ["CONNECT of HTTP/1.0 without Host", "CONNECT a.example:22 HTTP/1.0\r\n\r\n", { authority: { host: "a.example", port: 22 } }],
    ["CONNECT with Content-Length 0", connect("Host: a.example\r\nContent-Length: 0\r\n"), { kind: "connect" }],
    [
      "CONNECT to an IPv6 literal",
      "CONNECT [2001:DB8::1]:443 HTTP/1.1\r\nHost: [2001:db8:0::1]:443\r\n\r\n",
      { authority: { host: "2001:db8::1", port: 443 } },
    ],
    [
      "absolute-form",
      "GET http://A.example:8080/x?y=1 HTTP/1.1\r\nHost: a.example:8080\r\n\r\n",
      { kind: "forward", target: "/x?y=1", authority: { host: "a.example", port: 8080 } },
    ],
    ["absolute-form without a path", "GET http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n", { target: "/" }],
    ["absolute-form with a query alone", "GET http://a.example?x HTTP/1.1\r\nHost: a.example\r\n\r\n", { target: "/?x" }],
    ["a method in another case", "oPtions http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", { method: "OPTIONS", target: "/" }],
    ["a body by length", get("Host: a.example\r\nContent-Length: 12\r\n"), { body: { kind: "length", length: 12 } }],
    ["a chunked body", get("Host: a.example\r\nTransfer-Encoding: Chunked\r\n"), { body: { kind: "chunked" } }],
    ["a field in UTF-8", get("Host: a.example\r\nX: caf\xc3\xa9\r\n"), { kind: "forward" }],
    [
      "a name in UTF-8",
      Buffer.from("CONNECT bücher.de:443 HTTP/1.1\r\nHost: bücher.de\r\n\r\n").toString("latin1"),
      { authority: { host: "xn--bcher-kva.de", port: 443 } },
    ],
  ];
  for (const [name, text, head] of accepted)
    test(name, () => expect(read(text)).toMatchObject({ kind: "request", size: text.length, head }));
});

describe("refused", () => {
  const refused: [string, string, number, string][] = [
    ["bare LF after the request line", "CONNECT a.example:443 HTTP/1.1\nHost: a.example\r\n\r\n", 400, "bare_lf"],
    ["bare LF after a field", connect("Host: a.example\n"), 400, "bare_lf"],
    ["bare LF first", "\nGET http://a.example/ HTTP/1.1\r\n\r\n", 400, "bare_lf"],
    ["empty line first", "\r\nGET http://a.example/ HTTP/1.1\r\n\r\n", 400, "empty_line"],
    ["bare CR in a field", get("Host: a.example\r\nX: a\rb\r\n"), 400, "control_byte"],
    ["NUL in a field", get("Host: a.example\r\nX: a\0b\r\n"), 400, "control_byte"],
    ["case-67: a field that is not UTF-8", get("Host: a.example\r\nX: caf\xe9\r\n"), 400, "field_encoding"],
    ["case-67: half a character at the end of a field", get("Host: a.example\r\nX: \xc3\r\nY: \xa9\r\n"), 400, "field_encoding"],
    ["NUL in the authority", "CONNECT a.ex\0ample:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", 400, "authority"],
    ["tab in the request line", "CONNECT\ta.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", 400, "control_byte"],
    ["escape byte in the request line", "CONNECT a.example:443 \x1bHTTP/1.1\r\n\r\n", 400, "control_byte"],
    ["two blanks", "GET  http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400, "request_line"],
    ["HTTP/0.9", "GET http://a.example/\r\n\r\n", 400, "request_line"],
    ["HTTP/1.2", "GET http://a.example/ HTTP/1.2\r\nHost: a.example\r\n\r\n", 505, "http_version"],
    ["HTTP/2.0", "PRI * HTTP/2.0\r\n\r\n", 505, "http_version"],
    ["HTTP/11", "GET http://a.example/ HTTP/11\r\n\r\n", 505, "http_version"],
    ["http in lower case", "GET http://a.example/ http/1.1\r\n\r\n", 400, "request_line"],
    ["folded line", get("Host: a.example\r\nX: a\r\n b\r\n"), 400, "obs_fold"],
    ["blank before the colon", get("Host : a.example\r\n"), 400, "field_name"],
    ["field without a name", get("Host: a.example\r\n: x\r\n"), 400, "field_name"],
    ["field without a colon", get("Host: a.example\r\nabc\r\n"), 400, "field_name"],
    [
      "CL and TE",
      get("Host: a.example\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
      400,
      "content_length_and_transfer_encoding",
    ],
    [
      "TE and CL",
      get("Host: a.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n"),
      400,
      "content_length_and_transfer_encoding",
    ],
    ["two different CL", get("Host: a.example\r\nContent-Length: 3\r\nContent-Length: 4\r\n"), 400, "content_length"],
    ["two equal CL", get("Host: a.example\r\nContent-Length: 3\r\nContent-Length: 3\r\n"), 400, "content_length"],
    ["list of CL", get("Host: a.example\r\nContent-Length: 3, 3\r\n"), 400, "content_length"],
    ["CL with a sign", get("Host: a.example\r\nContent-Length: +3\r\n"), 400, "content_length"],
    ["CL in hexadecimal", get("Host: a.example\r\nContent-Length: 0x3\r\n"), 400, "content_length"],
    ["empty CL", get("Host: a.example\r\nContent-Length:\r\n"), 400, "content_length"],
    ["CL beyond exact numbers", get(`Host: a.example\r\nContent-Length: ${"9".repeat(16)}\r\n`), 400, "content_length"],
    ["xchunked", get("Host: a.example\r\nTransfer-Encoding: xchunked\r\n"), 400, "transfer_encoding"],
    ["chunked, identity", get("Host: a.example\r\nTransfer-Encoding: chunked, identity\r\n"), 400, "transfer_encoding"],
    ["gzip, chunked", get("Host: a.example\r\nTransfer-Encoding: gzip, chunked\r\n"), 400, "transfer_encoding"],
    ["two TE", get("Host: a.example\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400, "transfer_encoding"],
    ["TE in HTTP/1.0", "POST http://a.example/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "transfer_encoding"],
    ["no Host", get(""), 400, "host"],
    ["CONNECT without Host", connect(""), 400, "host"],
    ["two Hosts", get("Host: a.example\r\nHost: a.example\r\n"), 400, "host"],
    ["another Host", get("Host: b.example\r\n"), 400, "host"],
    ["another Host in CONNECT", connect("Host: b.example:443\r\n"), 400, "host"],
    ["Host with another port", get("Host: a.example:81\r\n"), 400, "host"],
    ["CONNECT Host with another port", connect("Host: a.example:444\r\n"), 400, "host"],
    ["empty Host", get("Host:\r\n"), 400, "host"],
    ["user information", "GET http://u:p@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400, "authority"],
    ["user information in CONNECT", "CONNECT u@a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", 400, "authority"],
    ["CONNECT without a port", "CONNECT a.example HTTP/1.1\r\nHost: a.example\r\n\r\n", 400, "authority"],
    ["CONNECT of a URL", "CONNECT http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400, "authority"],
    ["backslash in the authority", "GET http://a.example\\@b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400, "authority"],
    ["octal IPv4", "CONNECT 0177.0.0.1:80 HTTP/1.1\r\nHost: 0177.0.0.1:80\r\n\r\n", 400, "authority"],
    ["decimal IPv4", "CONNECT 2130706433:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "authority"],
    ["zone id", "CONNECT [fe80::1%25eth0]:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "authority"],
    ["CONNECT with a length", connect("Host: a.example\r\nContent-Length: 5\r\n"), 400, "connect_body"],
    ["CONNECT with a chunked body", connect("Host: a.example\r\nTransfer-Encoding: chunked\r\n"), 400, "connect_body"],
    ["OPTIONS without a path", "OPTIONS http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n", 400, "target"],
    ["TRACE in another case", "trace http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 405, "trace"],
    ["origin-form", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", 400, "not_a_proxy_request"],
    ["https URL", "GET https://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400, "use_connect"],
    ["ftp URL", "GET ftp://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400, "scheme"],
    ["fragment", "GET http://a.example/#x HTTP/1.1\r\nHost: a.example\r\n\r\n", 400, "target"],
    ["backslash in the path", "GET http://a.example/a\\b HTTP/1.1\r\nHost: a.example\r\n\r\n", 400, "target"],
    ["byte above ASCII in the path", "GET http://a.example/\xff HTTP/1.1\r\nHost: a.example\r\n\r\n", 400, "target"],
    ["invalid UTF-8 in the name", "CONNECT a\xff.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "authority"],
    ["TRACE", "TRACE http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 405, "trace"],
    ["101 fields", get(`Host: a.example\r\n${"X: y\r\n".repeat(100)}`), 431, "too_many_fields"],
    ["case-40: a head above 8,192 bytes", get(`Host: a.example\r\nX: ${"y".repeat(MAX_HEAD_BYTES)}\r\n`), 431, "head_too_large"],
    ["8,192 bytes without an end", `GET http://a.example/${"y".repeat(MAX_HEAD_BYTES)}`, 431, "head_too_large"],
  ];
  for (const [name, text, status, code] of refused) test(name, () => expect(read(text)).toMatchObject({ kind: "refused", status, code }));
});

test("a head in pieces is incomplete until its last byte, and bytes behind it are not part of it", () => {
  const text = "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n";
  for (let size = 0; size < text.length; size++) expect(read(text.slice(0, size)).kind).toBe("incomplete");
  expect(read(`${text}early`)).toMatchObject({ kind: "request", size: text.length });
});

test("a head of exactly 8,192 bytes is accepted", () => {
  const bare = get("Host: a.example\r\nX: \r\n").length;
  expect(read(get(`Host: a.example\r\nX: ${"y".repeat(MAX_HEAD_BYTES - bare)}\r\n`)).kind).toBe("request");
});
