/** The readers of HTTP/1: heads of requests, answers, chunks, paths, queries, authorities. */

import { readAuthority } from "../../src/modes/sandbox/proxy/http1/authority.ts";
import { BodyReader } from "../../src/modes/sandbox/proxy/http1/body.ts";
import { readHead } from "../../src/modes/sandbox/proxy/http1/head.ts";
import { readOriginRequest } from "../../src/modes/sandbox/proxy/http1/origin-request.ts";
import { canonicalPath } from "../../src/modes/sandbox/proxy/http1/path.ts";
import { readQuery } from "../../src/modes/sandbox/proxy/http1/query.ts";
import { HeadError } from "../../src/modes/sandbox/proxy/http1/refused.ts";
import { ResponseReader } from "../../src/modes/sandbox/proxy/http1/response-reader.ts";
import { readConnectReply } from "../../src/modes/sandbox/proxy/upstream-proxy/connect-reply.ts";
import type { Dice } from "../../src/policy/dice.test-support.ts";
import { type Case, readCorpus } from "../differential/corpus.ts";
import { readOurselves } from "../differential/ours.ts";
import { fuzz, holds, same } from "./fuzz.ts";
import { split } from "./mutate.ts";
import { HTTP_WORDS } from "./words.ts";

const corpus = readCorpus().filter(({ bytes }) => bytes.length < 1000);
const bytesOf = (form: Case["form"]) => corpus.filter((one) => one.form === form).map(({ bytes }) => bytes);

fuzz({
  name: "heads for the explicit proxy",
  seeds: [...bytesOf("proxy"), "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", "CONNECT [::1]:1 HTTP/1.0\r\n\r\n"],
  words: HTTP_WORDS,
  run: (input, dice) => sameInPieces(input, dice, readHead),
});

fuzz({
  name: "heads inside a connection",
  seeds: bytesOf("origin"),
  words: HTTP_WORDS,
  run: (input, dice) => sameInPieces(input, dice, (bytes) => readOriginRequest(bytes, { host: "a.example", port: 80 })),
});

fuzz({
  name: "whole connections, in any pieces",
  seeds: bytesOf("origin"),
  words: HTTP_WORDS,
  async run(input, dice) {
    const whole = await readOurselves({ form: "origin", bytes: input });
    const cut = await readOurselves({ form: "origin", bytes: input }, split(dice, input));
    same(
      "accepted",
      whole.requests.filter(({ complete }) => complete),
      cut.requests.filter(({ complete }) => complete),
    );
    same("refused", whole.refused, cut.refused);
    if (!whole.refused) same("forwarded", whole.forwarded.toString("latin1"), cut.forwarded.toString("latin1"));
  },
});

const CHUNKS = [
  "0\r\n\r\n",
  "3\r\nabc\r\n0\r\n\r\n",
  "a\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
  "3;a=b\r\nabc\r\n000\r\n\r\nGET / HTTP/1.1\r\n\r\n",
];
fuzz({
  name: "chunked bodies",
  seeds: CHUNKS,
  words: HTTP_WORDS,
  run(input, dice) {
    for (const extensions of ["refused", "ignored"] as const) {
      const read = (pieces: readonly Buffer[]) => {
        const reader = new BodyReader({ kind: "chunked" }, extensions);
        let content = "";
        let taken = 0;
        for (const piece of pieces) {
          if (reader.done || reader.problem !== undefined) break;
          taken += reader.take(piece, (bytes) => {
            content += bytes.toString("latin1");
          });
        }
        return { content, taken, done: reader.done, problem: reader.problem, trailer: reader.done ? reader.trailer : "" };
      };
      const whole = read([input]);
      same("pieces", whole, read(split(dice, input)));
      holds("never more than there is", whole.taken <= input.length);
    }
  },
});

fuzz({
  name: "answers of servers",
  seeds: [
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcrest",
    "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end",
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: v\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\nETag: x\r\n\r\n",
  ],
  words: [...HTTP_WORDS, "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 ", "101", "204", "Upgrade: websocket\r\n"],
  run(input, dice) {
    const upgrade = dice.below(2) === 0 ? "websocket" : "";
    const method = dice.below(4) === 0 ? "HEAD" : "GET";
    const read = (pieces: readonly Buffer[]) => {
      const reader = new ResponseReader({ method, version: "1.1", upgrade, keepAlive: true });
      let output = "";
      let rest = "";
      for (const piece of pieces) {
        if (reader.problem !== undefined) break;
        if (reader.done) {
          rest += piece.toString("latin1");
          continue;
        }
        const step = reader.take(piece);
        output += Buffer.concat(step.output).toString("latin1");
        rest += step.rest?.toString("latin1") ?? "";
      }
      const broken = reader.problem !== undefined;
      // How much has passed by the time a fault is seen depends on the pieces.
      return { broken, status: broken ? 0 : reader.status, done: reader.done, output: broken ? "" : output, rest: broken ? "" : rest };
    };
    same("pieces", read([input]), read(split(dice, input)));
  },
});

fuzz({
  name: "paths have one canonical spelling",
  seeds: ["/", "/a/b/c", "/a/../b/./c/", "/%61%2F%2e%2e/x", "/a;b=c/d", "/%252e%252e/", "//a//b", "/a/..;/b", "/\xe9", "*", "/a%5cb"],
  words: HTTP_WORDS,
  run(input) {
    const path = input.toString("latin1");
    const once = unlessRefused(() => canonicalPath(path));
    if (once === undefined) return;
    same("a second time", once, canonicalPath(once));
    holds("a path", once === "*" || once.startsWith("/"));
    holds(
      "no dot segments",
      once.split("/").every((segment) => segment !== "." && segment !== ".."),
    );
    holds("no empty segments", !once.includes("//"));
    holds("no parameters", !once.includes(";"));
    holds("nothing unreserved is escaped", !/%(?:4[1-9a-f]|5[0-9a]|6[1-9a-f]|7[0-9a]|3[0-9]|2[de]|5f|7e)/i.test(once));
  },
});

fuzz({
  name: "queries have one reading",
  seeds: ["", "a=b&c=d", "a=1&a=2&a", "a+b=c%20d&%C3%A9=%E2%82%AC", "=&==&&", "a;b=c"],
  words: HTTP_WORDS,
  run(input) {
    const read = unlessRefused(() => readQuery(input.toString("latin1")));
    if (read === undefined) return;
    const pairs = Object.entries(read).flatMap(([name, values]) =>
      values.map((value) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`),
    );
    same("written anew", { ...read }, { ...readQuery(pairs.join("&")) });
  },
});

fuzz({
  name: "authorities have one spelling",
  seeds: [
    "a.example:443",
    "A.Example.",
    "[2001:DB8::1]:80",
    "93.184.216.34",
    "xn--4ca.example:8080",
    "\xc3\xa4.example",
    "0x7f.1:80",
    "[::ffff:1.2.3.4]",
  ],
  words: [".", ":", "[", "]", "xn--", "%", "@", "::", "0x", "\xef\xbd\x81", "\xc2\xad", "\xe3\x80\x82"],
  run(input) {
    const read = readAuthority(input.toString("utf8"), 80);
    if ("problem" in read) return;
    const { host, port } = read;
    holds("a port", port >= 1 && port <= 65_535);
    holds("a name or an address", /^[a-z0-9_.:-]+$/.test(host) && !host.endsWith("."));
    same("a second time", readAuthority(host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`), read);
    if (!host.includes(":") && !host.includes("_")) same("as a URL parser reads it", new URL(`http://${host}/`).hostname, host);
  },
});

fuzz({
  name: "answers of an upstream proxy",
  seeds: [
    "HTTP/1.1 200 Connection established\r\n\r\n",
    "HTTP/1.0 407 No\r\nProxy-Authenticate: Basic\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n\x16\x03",
  ],
  words: HTTP_WORDS,
  run(input, dice) {
    let have = Buffer.alloc(0);
    for (const piece of split(dice, input)) {
      have = Buffer.concat([have, piece]);
      const reply = readConnectReply(have);
      if (reply.kind === "incomplete") continue;
      same("pieces", readConnectReply(input).kind, reply.kind);
      return;
    }
  },
});

/** What is read of all of it is read as soon as it is there, and nothing else before. */
function sameInPieces<Result extends { readonly kind: string }>(input: Buffer, dice: Dice, read: (bytes: Buffer) => Result): void {
  const whole = read(input);
  let have = Buffer.alloc(0);
  for (const piece of split(dice, input)) {
    have = Buffer.concat([have, piece]);
    const result = read(have);
    if (result.kind === "incomplete") continue;
    // A line that is wrong is refused at once, whatever else is wrong behind it.
    same("pieces", result.kind === "refused" ? result.kind : result, whole.kind === "refused" ? whole.kind : whole);
    return;
  }
  same("pieces", whole.kind, "incomplete");
}

function unlessRefused<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof HeadError) return undefined;
    throw error;
  }
}
