import { describe, expect, test } from "bun:test";
import type { OriginRequest } from "../http1/origin-request.ts";
import { Conversation, type ConversationHost, type EarlyBytes, MAX_PIPELINED_BYTES } from "./conversation.ts";
import type { Answer, Ruling, StreamInspector } from "./ruling.ts";

/** Everything that a conversation did, in order, as lines of a script. */
class Stage implements ConversationHost {
  readonly script: string[] = [];
  readonly conversation: Conversation;
  constructor(connected = false) {
    this.conversation = new Conversation({ authority: { host: "a.example", port: 443 }, scheme: "https", connected }, this);
  }
  /** What is ruled about paths under /special. */
  special: (request: OriginRequest) => Ruling = (request) => ({ kind: "forward", request });
  rule(request: OriginRequest): Ruling {
    this.script.push(`decide ${request.method} ${request.path}`);
    if (request.method === "DELETE") return { kind: "answer", answer: said("403") };
    return request.path.startsWith("/special") ? this.special(request) : { kind: "forward", request };
  }
  goesOn = true;
  mayGoOn = () => this.goesOn;
  refuse = ({ status, code }: { status: number; code: string }) => said(`${status} ${code}`);
  badGateway = (problem: string) => said(`502 ${problem}`);
  toClient = (bytes: Buffer) => void this.script.push(`client< ${text(bytes).replace(OUR_HEAD, "")}`);
  toUpstream = (bytes: Buffer) => void this.script.push(`server< ${text(bytes).replace(REQUEST_HEAD, "[$1]")}`);
  openUpstream = () => void this.script.push("open");
  dropUpstream = () => void this.script.push("drop");
  finishClient = () => void this.script.push("finish");
  abort = () => void this.script.push("abort");
  holdClient = () => void this.script.push("hold");
  releaseClient() {}
  entered() {}
  switched = (_: OriginRequest, __: StreamInspector | undefined, { fromServer, fromClient }: EarlyBytes) =>
    void this.script.push(`switched ${text(fromServer)} ${text(fromClient)}`);

  client(bytes: string): this {
    this.conversation.clientData(Buffer.from(bytes, "latin1"));
    return this;
  }
  server(bytes: string): this {
    this.conversation.upstreamData(Buffer.from(bytes, "latin1"));
    return this;
  }
  ready(): this {
    this.conversation.upstreamReady();
    return this;
  }
  /** The lines since the last call. */
  did(): string[] {
    return this.script.splice(0);
  }
}

/** Answers of ours that end the connection are shown by their body alone, requests by their first line. */
const OUR_HEAD = /^HTTP\/1\.1 \d+ [^|]*\|Content-Length: \d+\|Connection: close\|\|/;
const REQUEST_HEAD = /^([A-Z]+ \S+) HTTP\/1\.1\|Host: a\.example\|(?:[^|]+\|)*\|/;
const said = (body: string, close = true): Answer => ({ status: Number.parseInt(body, 10), fields: [], body: Buffer.from(body), close });
const text = (bytes: Buffer | undefined) => (bytes?.toString("latin1") ?? "-").replaceAll("\r\n", "|");
const get = (path: string, more = "") => `GET ${path} HTTP/1.1\r\nHost: a.example\r\n${more}\r\n`;
const post = (path: string, more: string, body = "") => `POST ${path} HTTP/1.1\r\nHost: a.example\r\n${more}\r\n${body}`;
const EMPTY = "HTTP/1.1 204 No Content\r\n\r\n";

describe("requests", () => {
  test("a server is looked for only when a request is allowed, and kept for the next", () => {
    const stage = new Stage().client(get("/1"));
    expect(stage.did()).toEqual(["decide GET /1", "open"]);
    expect(stage.ready().did()).toEqual(["server< [GET /1]"]);
    expect(stage.server(EMPTY).did()).toEqual(["client< HTTP/1.1 204 No Content||"]);
    expect(stage.client(get("/2")).did()).toEqual(["decide GET /2", "server< [GET /2]"]);
    expect(stage.server(EMPTY).client("DELETE / HTTP/1.1\r\nHost: a.example\r\n\r\n").did().slice(1)).toEqual([
      "decide DELETE /",
      "client< 403",
      "drop",
      "finish",
    ]);
    expect(stage.client(get("/3")).did()).toEqual([]);
  });

  test("pipelined ones wait for the answer before them, and the client waits beyond a limit", async () => {
    const stage = new Stage(true).client(get("/1") + get("/2"));
    expect(stage.did()).toEqual(["decide GET /1", "server< [GET /1]"]);
    stage.client("x".repeat(MAX_PIPELINED_BYTES));
    expect(stage.did()).toEqual(["hold"]);
    stage.server(EMPTY);
    await Promise.resolve();
    expect(stage.did()).toEqual(["client< HTTP/1.1 204 No Content||", "decide GET /2", "server< [GET /2]"]);
  });

  test("what cannot be read is answered and nothing is sent", () => {
    for (const [request, answer] of [
      ["GET / HTTP/1.1\r\nHost: b.example\r\n\r\n", "421 host"],
      [post("/", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), "400 content_length_and_transfer_encoding"],
      ["TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n", "405 trace"],
      [get("/", `X: ${"y".repeat(16_384)}\r\n`), "431 head_too_large"],
      ["GET / HTTP/2.0\r\nHost: a.example\r\n\r\n", "505 http_version"],
    ] as const)
      expect(new Stage(true).client(request).did()).toEqual([`client< ${answer}`, "drop", "finish"]);
  });
});

describe("bodies", () => {
  test("stream as they come, and what follows is the next request", async () => {
    const stage = new Stage(true).client(post("/", "Content-Length: 4\r\n", "ab"));
    expect(stage.did()).toEqual(["decide POST /", "server< [POST /]", "server< ab"]);
    expect(stage.client(`cd${get("/next")}`).did()).toEqual(["server< cd"]);
    stage.server(EMPTY);
    await Promise.resolve();
    expect(stage.did().slice(1)).toEqual(["decide GET /next", "server< [GET /next]"]);
  });

  test("wrong framing ends everything and is not passed on", () => {
    const stage = new Stage(true).client(post("/", "Transfer-Encoding: chunked\r\n", "5;x=y\r\n"));
    expect(stage.did().slice(2)).toEqual(["abort"]);
  });

  test("a client that waits for 100 Continue and gets an answer instead has no body to send", () => {
    const stage = new Stage(true)
      .client(post("/", "Content-Length: 4\r\nExpect: 100-continue\r\n"))
      .server("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
    expect(stage.did().slice(-2)).toEqual(["drop", "finish"]);
  });

  test("an answer before the end of the request does not stop the request", () => {
    const stage = new Stage(true).client(post("/", "Content-Length: 4\r\n", "ab")).server(EMPTY);
    stage.did();
    expect(stage.client("cd").did()).toEqual(["server< cd"]);
    expect(stage.client(get("/next")).did()).toEqual(["decide GET /next", "server< [GET /next]"]);
  });
});

describe("servers", () => {
  test("one that cannot be reached is a 502", () => {
    const stage = new Stage().client(get("/"));
    stage.conversation.upstreamFailed("refused");
    expect(stage.did().slice(-2)).toEqual(["client< 502 refused", "finish"]);
  });

  test("a kept connection that turns out to be closed is replaced once, for requests that may be repeated", () => {
    const stage = new Stage(true).client(get("/1")).server(EMPTY).client(get("/2"));
    stage.did();
    stage.conversation.upstreamFinished();
    expect(stage.did()).toEqual(["drop", "open"]);
    expect(stage.ready().did()).toEqual(["server< [GET /2]"]);
    stage.conversation.upstreamFinished();
    expect(stage.did()[1]).toStartWith("client< 502 ");
    const posting = new Stage(true).client(get("/1")).server(EMPTY).client(post("/2", "Content-Length: 0\r\n"));
    posting.did();
    posting.conversation.upstreamFinished();
    expect(posting.did()[1]).toStartWith("client< 502 ");
  });

  test("bytes that nobody asked for end the server's connection, not the client's", () => {
    const stage = new Stage(true).server("HTTP/1.1 200 OK\r\n\r\npoison");
    expect(stage.did()).toEqual(["drop"]);
    expect(stage.client(get("/")).did()).toEqual(["decide GET /", "open"]);
    const behind = new Stage(true).client(get("/")).server(`${EMPTY}HTTP/1.1 200 OK\r\n\r\n`);
    expect(behind.did().slice(2)).toEqual(["client< HTTP/1.1 204 No Content||", "drop"]);
  });

  test("one that stops in the middle of an answer ends the client's connection as abruptly", () => {
    const stage = new Stage(true).client(get("/")).server("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    stage.did();
    stage.conversation.upstreamFinished();
    expect(stage.did()).toEqual(["drop", "abort"]);
  });

  test("an answer without length ends with the connection", () => {
    const stage = new Stage(true).client(get("/")).server("HTTP/1.1 200 OK\r\n\r\nall");
    stage.did();
    stage.conversation.upstreamFinished();
    expect(stage.did()).toEqual(["drop", "finish"]);
  });

  test("an accepted upgrade hands over what both sides have sent already", () => {
    const stage = new Stage(true).client(`${get("/", "Connection: Upgrade\r\nUpgrade: websocket\r\n")}early`);
    stage.server("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nhello");
    expect(stage.did().at(-1)).toBe("switched hello early");
    expect(stage.client("more").did()).toEqual([]);
  });

  test("a client that has sent FIN still gets its answer", () => {
    const stage = new Stage(true).client(get("/"));
    stage.conversation.clientFinished();
    expect(stage.server(EMPTY).did().slice(-3)).toEqual(["client< HTTP/1.1 204 No Content||", "drop", "finish"]);
  });
});

test("case-73 a request that a new policy no longer allows ends, in the middle of its answer too", () => {
  const stage = new Stage(true).client(get("/")).server("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
  stage.did();
  stage.conversation.policyChanged();
  expect(stage.did()).toEqual([]);
  stage.goesOn = false;
  stage.conversation.policyChanged();
  expect(stage.did()).toEqual(["abort"]);
});

describe("bodies that are needed before a decision", () => {
  /** Collects at most 8 bytes; "no" in them is refused, "yes" goes as it came, anything else is replaced. */
  const collecting = (connected = true) => {
    const stage = new Stage(connected);
    stage.special = (request) => ({
      kind: "collect",
      limit: 8,
      ruled: (body) => {
        stage.script.push(`body ${text(body)}`);
        if (body.includes("no")) return { kind: "answer", answer: said("403", false) };
        return { kind: "forward", request, ...(body.includes("yes") ? {} : { body: Buffer.from("other") }) };
      },
      exceeded: () => said("413"),
    });
    return stage;
  };

  test("the server hears nothing before, and gets all of it behind the head", () => {
    const stage = collecting(false).client(post("/special", "Content-Length: 5\r\n", "ye"));
    expect(stage.did()).toEqual(["decide POST /special"]);
    expect(stage.client("s!!").did()).toEqual(["body yes!!", "open"]);
    expect(stage.ready().did()).toEqual(["server< [POST /special]yes!!"]);
    expect(stage.server(EMPTY).client(get("/next")).did().slice(1)).toEqual(["decide GET /next", "server< [GET /next]"]);
  });

  test("chunks are put together and another body takes their place", () => {
    const stage = new Stage(true);
    const heads: string[] = [];
    stage.toUpstream = (bytes) => void heads.push(text(bytes));
    stage.special = (request) => ({
      kind: "collect",
      limit: 8,
      ruled: (body) => ({ kind: "forward", request, body: Buffer.from(`<${body}>`) }),
      exceeded: () => said("413"),
    });
    stage.client(post("/special", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\nTrailer: X\r\nX-Y: z\r\n"));
    expect(stage.did()).toEqual(["decide POST /special", "client< HTTP/1.1 100 Continue||"]);
    stage.client("2\r\nab\r\n1\r\nc\r\n").client("0\r\nX: 1\r\n\r\n");
    expect(heads).toEqual(["POST /special HTTP/1.1|Host: a.example|X-Y: z|Content-Length: 5||<abc>"]);
  });

  test("one that is too long is answered before it is read, and never kept", () => {
    expect(collecting().client(post("/special", "Content-Length: 9\r\n")).did().slice(1)).toEqual(["client< 413", "drop", "finish"]);
    const stage = collecting().client(post("/special", "Transfer-Encoding: chunked\r\n", "5\r\nabcde\r\n"));
    expect(stage.client("4\r\nfghi\r\n").did().slice(1)).toEqual(["client< 413", "drop", "finish"]);
  });

  test("wrong chunks are a 400, half a body is nothing", () => {
    const stage = collecting().client(post("/special", "Transfer-Encoding: chunked\r\n", "5;x\r\n"));
    expect(stage.did().slice(1)).toEqual(["client< 400 body_framing", "drop", "finish"]);
    const half = collecting().client(post("/special", "Content-Length: 5\r\n", "ye"));
    half.conversation.clientFinished();
    expect(half.did().slice(1)).toEqual(["abort"]);
  });

  test("a refusal that leaves the connection open lets the next request follow", () => {
    const stage = collecting().client(`${post("/special", "Content-Length: 2\r\n", "no")}${get("/next")}`);
    expect(stage.did()).toEqual([
      "decide POST /special",
      "body no",
      "client< HTTP/1.1 403 Forbidden|Content-Length: 3||403",
      "decide GET /next",
      "server< [GET /next]",
    ]);
  });

  test("a request without body gives an empty one, and one that never comes is a 408", () => {
    expect(collecting().client(get("/special")).did().slice(1)).toEqual(["body ", "server< [GET /special]other"]);
    const stage = collecting().client(post("/special", "Content-Length: 5\r\n", "y"));
    stage.conversation.expire({ status: 408, code: "body_timeout", reason: "" });
    expect(stage.did().slice(1)).toEqual(["client< 408 body_timeout", "drop", "finish"]);
  });
});
