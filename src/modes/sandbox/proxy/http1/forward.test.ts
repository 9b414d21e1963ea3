import { expect, test } from "bun:test";
import { readHead } from "./head.ts";
import { originFormHead } from "./origin-form.ts";
import { MAX_RESPONSE_HEAD_BYTES, ResponseHead } from "./response-head.ts";

function rewritten(text: string): string | undefined {
  const result = readHead(Buffer.from(text, "latin1"));
  if (result.kind !== "request" || result.head.kind !== "forward") throw new Error(`not a forward request: ${JSON.stringify(result)}`);
  return originFormHead(result.head)?.toString("latin1");
}

test("case-50: origin-form, Host from the URL, hop-by-hop fields dropped, Via and Connection: close added", () => {
  expect(
    rewritten(
      "POST http://A.example:8080/x?y HTTP/1.1\r\nhost: a.EXAMPLE:8080\r\nProxy-Authorization: Basic x\r\nProxy-Connection: keep-alive\r\nKeep-Alive: 3\r\nTE: trailers\r\nUpgrade: h2c\r\nConnection: keep-alive, X-Drop, upgrade\r\nX-Drop: 1\r\nX-Keep: caf\xc3\xa9\r\nContent-Length: 2\r\n\r\n",
    ),
  ).toBe(
    "POST /x?y HTTP/1.1\r\nHost: a.example:8080\r\nX-Keep: caf\xc3\xa9\r\nContent-Length: 2\r\nVia: 1.1 openshell-sandbox\r\nConnection: close\r\n\r\n",
  );
});

test("a Via that is there stays alone, the default port leaves Host, IPv6 keeps its brackets", () => {
  expect(rewritten("GET http://[2001:DB8::1]:80/ HTTP/1.1\r\nHost: [2001:db8::1]\r\nVia: 1.1 x\r\n\r\n")).toBe(
    "GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\nVia: 1.1 x\r\nConnection: close\r\n\r\n",
  );
});

for (const name of ["Host", "content-length", "Transfer-Encoding", "Authorization", "Content-Type"])
  test(`Connection: ${name} is refused`, () =>
    expect(readHead(Buffer.from(`GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nConnection: close, ${name}\r\n\r\n`))).toMatchObject({
      kind: "refused",
      code: "connection_options",
    }));

/** Feeds a response in pieces of `size`; gives what the client sees. */
function answer(text: string, size: number): { output: string; problem: string | undefined } {
  const head = new ResponseHead();
  let output = "";
  let done = false;
  for (let at = 0; at < text.length && head.problem === undefined; at += size) {
    const piece = Buffer.from(text.slice(at, at + size), "latin1");
    if (done) {
      output += piece.toString("latin1");
      continue;
    }
    const result = head.take(piece);
    output += result?.output.toString("latin1") ?? "";
    done = result?.done ?? false;
  }
  return { output, problem: head.problem };
}

for (const size of [1, 3, 1000])
  test(`a response says Connection: close and passes unchanged behind its head, ${size} at a time`, () => {
    expect(
      answer(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\nX: y\r\n\r\nbody\r\n\r\nmore",
        size,
      ),
    ).toEqual({
      output: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX: y\r\nConnection: close\r\n\r\nbody\r\n\r\nmore",
      problem: undefined,
    });
  });

test("what is not HTTP/1, switches protocols or has no end is refused", () => {
  expect(answer("SSH-2.0-x\r\n\r\n", 100).problem).toMatch(/does not speak/);
  expect(answer("HTTP/1.1 101 Switching Protocols\r\n\r\n", 100).problem).toMatch(/switched protocols/);
  expect(answer(`HTTP/1.1 200 OK\r\nX: ${"y".repeat(MAX_RESPONSE_HEAD_BYTES)}`, 10_000).problem).toMatch(/larger than/);
});
