import { describe, expect, test } from "bun:test";
import { ResponseReader } from "./response-reader.ts";

/** Plays a server's bytes in pieces of every size; gives what the client gets, the same each time. */
function play(text: string, request: { method?: string; upgrade?: string; keepAlive?: boolean } = {}) {
  const results = [1, 2, 7, text.length].map((size) => {
    const reader = new ResponseReader({ method: "GET", version: "1.1", upgrade: "", keepAlive: true, ...request });
    let output = "";
    let rest = "";
    for (let at = 0; at < text.length && reader.problem === undefined; at += size) {
      const bytes = Buffer.from(text.slice(at, at + size), "latin1");
      if (reader.done) {
        rest += bytes.toString("latin1");
        continue;
      }
      const taken = reader.take(bytes);
      output += Buffer.concat(taken.output).toString("latin1");
      rest += taken.rest?.toString("latin1") ?? "";
    }
    const { status, done, serverCloses, clientCloses, problem } = reader;
    return { output, rest, status, done, serverCloses, clientCloses, problem, complete: reader.finish().complete };
  });
  for (const other of results) expect({ ...other, output: "" }).toEqual({ ...(results[0] as object), output: "" } as typeof other);
  return results.at(-1) as (typeof results)[number];
}

describe("answers", () => {
  test("by length, and what follows is not part of it", () => {
    expect(play("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n")).toMatchObject({
      output: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
      rest: "HTTP/1.1 200 OK\r\n",
      done: true,
      clientCloses: false,
    });
  });
  test("in chunks with extensions and trailers, unchanged", () => {
    const body = "3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n";
    expect(play(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}`)).toMatchObject({
      done: true,
      output: expect.stringMatching(/abc\r\n0\r\nX: y\r\n\r\n$/),
    });
  });
  test("until the connection ends: then the client's ends as well", () => {
    expect(play("HTTP/1.0 200 OK\r\n\r\nall of it")).toMatchObject({
      output: "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it",
      done: false,
      complete: true,
      serverCloses: true,
      clientCloses: true,
    });
  });
  test("without a body: HEAD, 204, 304", () => {
    expect(play("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", { method: "HEAD" })).toMatchObject({ done: true });
    for (const status of [204, 304]) expect(play(`HTTP/1.1 ${status} x\r\n\r\n`)).toMatchObject({ done: true, clientCloses: false });
  });
  test("interim ones pass before the final one", () => {
    expect(play("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")).toMatchObject({
      status: 204,
      done: true,
    });
  });
  test("fields for us alone are dropped, and a Connection field cannot take the framing away", () => {
    const { output } = play(
      "HTTP/1.1 200 OK\r\nConnection: close, x-hop, content-length\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nContent-Length: 0\r\n\r\n",
    );
    expect(output).toBe("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });
  test("an answer that ends early is not complete", () => {
    expect(play("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")).toMatchObject({ complete: false });
    expect(play("HTTP/1.1 200 OK\r\nContent-")).toMatchObject({ complete: false, status: 0 });
  });
});

describe("refused, and nothing of the head passes", () => {
  for (const [name, text] of [
    ["not HTTP", "SSH-2.0-x\r\n\r\n"],
    ["HTTP/2", "HTTP/2 200 OK\r\n\r\n"],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"],
    ["length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ["an unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"],
    ["a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"],
    ["a folded line", "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n"],
    ["a control byte", "HTTP/1.1 200 OK\r\nX: y\0\r\n\r\n"],
    ["an unasked 101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"],
  ] as const)
    test(name, () => expect(play(text)).toMatchObject({ output: "", status: 0, problem: expect.any(String) }));

  test("a 101 to something else than was asked", () => {
    const text = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n";
    expect(play(text, { upgrade: "websocket" })).toMatchObject({ problem: expect.stringContaining("without being asked") });
    expect(play(text.replace("h2c", "WebSocket"), { upgrade: "websocket" })).toMatchObject({ status: 101, done: true });
  });
  test("a head without end", () => {
    expect(play(`HTTP/1.1 200 OK\r\nX: ${"y".repeat(70_000)}`)).toMatchObject({ problem: expect.stringContaining("65536") });
  });
});

describe("answers that a filter changes", () => {
  /** Doubles every x, holding each piece back until the next; hides the word secret in fields. */
  const filtered = (text: string, version = "1.1", method = "GET") =>
    [1, 3, text.length].map((size) => {
      let held = "";
      const reader = new ResponseReader(
        { method, version, upgrade: "websocket", keepAlive: version === "1.1" },
        {
          head: (status, fields) => fields.map((field) => ({ ...field, value: `${field.value.replace("secret", "*")}${status}` })),
          body: (chunk, last) => {
            const output = last ? held + chunk.toString() : held;
            held = chunk.toString().replaceAll("x", "xx");
            return Buffer.from(output);
          },
        },
      );
      let output = "";
      for (let at = 0; at < text.length; at += size) {
        const taken = reader.take(Buffer.from(text.slice(at, at + size), "latin1"));
        expect(reader.problem).toBeUndefined();
        output += Buffer.concat(taken.output).toString("latin1");
      }
      const { complete, output: last } = reader.finish();
      return `${output}${last.toString("latin1")} ${complete}`;
    });
  const joined = (text: string) => text.replace(/\r\n[0-9a-f]+\r\n/g, "").replace(/\r\n\r\n[0-9a-f]+\r\n/, "|");

  test("by length, in chunks with trailers, or until the end: framed anew", () => {
    for (const answer of filtered("HTTP/1.1 200 secret\r\nX: secret\r\nContent-Length: 3\r\n\r\naxb")) {
      expect(answer).toStartWith("HTTP/1.1 200 OK\r\nX: *200\r\nTransfer-Encoding: chunked\r\n\r\n");
      expect(joined(answer)).toContain("axxb");
      expect(answer).toEndWith("\r\n0\r\n\r\n true");
    }
    for (const answer of filtered("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;e=secret\r\nax\r\n0\r\nT: secret\r\n\r\n")) {
      expect(answer).not.toContain("secret");
      expect(answer).toEndWith("\r\n0\r\nT: *200\r\n\r\n true");
    }
    for (const answer of filtered("HTTP/1.1 200 OK\r\n\r\naxb")) {
      expect(answer).toContain("Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
      expect(answer).toEndWith("\r\n0\r\n\r\n true");
    }
  });

  test("no chunks for HTTP/1.0, nothing where there is no body, interim and 101 heads too", () => {
    for (const answer of filtered("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\naxb", "1.0"))
      expect(answer).toBe("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\naxxb true");
    for (const answer of filtered("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "1.1", "HEAD"))
      expect(answer).toEndWith("3200\r\n\r\n true");
    for (const answer of filtered("HTTP/1.1 103 x\r\nL: secret\r\n\r\nHTTP/1.1 204 x\r\n\r\n")) expect(answer).toContain("L: *103\r\n");
    for (const answer of filtered("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nL: secret\r\n\r\n")) expect(answer).toContain("L: *101\r\n");
  });
});
