import { describe, expect, test } from "bun:test";
import type { OriginRequest } from "../http1/origin-request.ts";
import { Conversation, type ConversationHost, MAX_PIPELINED_BYTES, type Ruling } from "./conversation.ts";

/** Everything that a conversation did, in order, as lines of a script. */
class Stage implements ConversationHost {
  readonly script: string[] = [];
  readonly conversation: Conversation;
  constructor(connected = false) {
    this.conversation = new Conversation({ host: "a.example", port: 443 }, this, { connected });
  }
  rule(request: OriginRequest): Ruling {
    this.script.push(`decide ${request.method} ${request.path}`);
    if (request.method === "DELETE") return { forward: false, answer: Buffer.from("403") };
    return { forward: true, request, head: Buffer.from(`[${request.method} ${request.path}]`) };
  }
  refuse = ({ status, code }: { status: number; code: string }) => Buffer.from(`${status} ${code}`);
  badGateway = (problem: string) => Buffer.from(`502 ${problem}`);
  toClient = (bytes: Buffer) => void this.script.push(`client< ${text(bytes)}`);
  toUpstream = (bytes: Buffer) => void this.script.push(`server< ${text(bytes)}`);
  openUpstream = () => void this.script.push("open");
  dropUpstream = () => void this.script.push("drop");
  finishClient = () => void this.script.push("finish");
  abort = () => void this.script.push("abort");
  holdClient = () => void this.script.push("hold");
  releaseClient() {}
  entered() {}
  switched = (_: OriginRequest, fromServer?: Buffer, fromClient?: Buffer) =>
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
