/** HTTP/2 through inspection: real clients and servers on loopback, and one client that breaks every rule. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { createServer as createHttp1 } from "node:http";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  createSecureServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { createServer, type Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { eventually } from "../../../../../test/eventually.ts";
import type { HttpEvent } from "../../../../events/event.ts";
import { FrameType, frame, PREFACE, settingsFrame } from "../http2/frames.ts";
import type { RawField } from "../http2/hpack-decoder.ts";
import { InspectingProxy } from "./inspection.test-support.ts";
import { RawHttp2 } from "./raw-http2.test-support.ts";

let proxy: InspectingProxy;
/** Speaks HTTP/2 alone. */
let h2Port = 0;
/** Speaks HTTP/1.1 alone. */
let h1Port = 0;
const seen: string[] = [];
const sessions = new Set<ServerHttp2Session>();
const sockets = new Set<Socket>();
const clients: ClientHttp2Session[] = [];
let serve: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

/** Tells what came. */
function echo(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  let size = 0;
  stream.on("data", (bytes: Buffer) => {
    size += bytes.length;
  });
  stream.on("end", () => {
    stream.respond({ ":status": 200, "x-path": String(headers[":path"]) });
    stream.end(JSON.stringify({ method: headers[":method"], headers, size }));
  });
}

async function listenTls(accept: (socket: TLSSocket) => void): Promise<number> {
  const context = await proxy.upstreamCa.context("a.example");
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy()).on("close", () => sockets.delete(socket));
    const tls = new TLSSocket(socket, { isServer: true, secureContext: context, ALPNProtocols: ["http/1.1"] });
    tls.on("error", () => tls.destroy());
    accept(tls);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  return (server.address() as { port: number }).port;
}

beforeAll(async () => {
  proxy = await InspectingProxy.open({ headMs: 500, bodyMs: 700 });
  const server = createSecureServer({ ...(await proxy.upstreamCa.leaf("a.example")), allowHTTP1: false });
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  server.on("sessionError", () => {});
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("stream", (stream, headers) => {
    seen.push(`${headers[":method"]} ${headers[":path"]}`);
    stream.on("error", () => {});
    serve(stream, headers);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  h2Port = (server.address() as { port: number }).port;
  const http1 = createHttp1(async (request, response) => {
    seen.push(`${request.method} ${request.url}`);
    let size = 0;
    for await (const chunk of request) size += (chunk as Buffer).length;
    if (request.url === "/early") response.writeEarlyHints({ link: "</a>; rel=preload" });
    response.setHeader("x-path", String(request.url));
    response.setHeader("keep-alive", "timeout=5");
    response.write(JSON.stringify({ method: request.method, headers: request.headers, version: request.httpVersion, size }));
    response.end();
  });
  h1Port = await listenTls((tls) => http1.emit("connection", tls));
});
beforeEach(() => {
  serve = echo;
  seen.length = 0;
  proxy.events.length = 0;
  rules("access: read-write");
});
afterAll(() => {
  for (const client of clients) client.destroy();
  for (const session of sessions) session.destroy();
  for (const socket of sockets) socket.destroy();
  proxy[Symbol.dispose]();
});

const rules = (text: string) => proxy.load(`ports: [${h2Port}, ${h1Port}], protocol: rest, enforcement: enforce, ${text}`);

async function client(port = h2Port): Promise<ClientHttp2Session> {
  const tls = await proxy.secure(port, ["h2", "http/1.1"]);
  expect(tls.alpnProtocol).toBe("h2");
  const session = connect(`https://a.example:${port}`, { createConnection: () => tls as never });
  session.on("error", () => {});
  clients.push(session);
  return session;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly interim: readonly IncomingHttpHeaders[];
  readonly text: string;
  /** How the stream was reset. */
  readonly code: number | undefined;
}

function answer(stream: ClientHttp2Stream): Promise<Answer> {
  return new Promise((resolve) => {
    let headers: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders = {};
    const interim: IncomingHttpHeaders[] = [];
    let text = "";
    stream.on("headers", (fields) => interim.push(fields));
    stream.on("response", (fields) => {
      headers = fields;
    });
    stream.on("trailers", (fields) => {
      trailers = fields;
    });
    stream.on("data", (bytes: Buffer) => {
      text += bytes.toString();
    });
    stream.on("error", () => {});
    stream.on("close", () => {
      const code = stream.rstCode === 0 ? undefined : stream.rstCode;
      resolve({ status: Number(headers[":status"] ?? 0), headers, trailers, interim, text, code });
    });
  });
}

const ask = (session: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: string | Buffer) => {
  const stream = session.request(headers, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  return answer(stream);
};

async function raw(): Promise<RawHttp2> {
  return new RawHttp2(await proxy.secure(h2Port, ["h2"]));
}
const head = (...more: readonly RawField[]): RawField[] => {
  const given = new Set(more.map(([name]) => name));
  const usual: RawField[] = [
    [":method", "GET"],
    [":scheme", "https"],
    [":authority", `a.example:${h2Port}`],
    [":path", "/"],
  ];
  return [...usual.filter(([name]) => !given.has(name)), ...more].sort(([a], [b]) => Number(b.startsWith(":")) - Number(a.startsWith(":")));
};

describe("requests", () => {
  test("case-72 each stream is decided by itself, and the server hears only what is allowed", async () => {
    rules("access: read-only");
    const session = await client();
    const [allowed, refused, other] = await Promise.all([
      ask(session, { ":path": "/a?x=1" }),
      ask(session, { ":path": "/b", ":method": "POST" }, "body"),
      ask(session, { ":path": "/c" }),
    ]);
    expect(allowed).toMatchObject({ status: 200, headers: { "x-path": "/a?x=1" } });
    expect(other.status).toBe(200);
    expect(refused).toMatchObject({ status: 403, headers: { "content-type": "application/json", "x-openshell-policy": "rule" } });
    expect(JSON.parse(refused.text)).toMatchObject({
      error: "policy_denied",
      method: "POST",
      path: "/b",
      rule_missing: { type: "rest_allow" },
    });
    expect(seen.sort()).toEqual(["GET /a?x=1", "GET /c"]);
    expect((await ask(session, { ":path": "/d" })).status).toBe(200);
    const http = proxy.events.filter((event): event is HttpEvent => event.kind === "http");
    expect(http.map(({ action, method }) => `${action} ${method}`)).toContainValues(["allowed GET", "denied POST"]);
  });

  test("case-66 the canonical path is decided on and sent", async () => {
    rules('rules: [{ allow: { method: GET, path: "/repos/**" } }]');
    const session = await client();
    expect((await ask(session, { ":path": "/repos//%7Euser/./a;v=1" })).headers["x-path"]).toBe("/repos/~user/a");
    expect((await ask(session, { ":path": "/repos/../admin" })).status).toBe(403);
    expect((await ask(session, { ":path": "/repos/%zz" })).status).toBe(400);
    expect(seen).toEqual(["GET /repos/~user/a"]);
  });

  test("case-73 a new policy counts from the next request on, and ends what it no longer allows", async () => {
    const session = await client();
    serve = (stream) => {
      stream.respond({ ":status": 200 });
      stream.write("first");
    };
    const endless = session.request({ ":path": "/endless", ":method": "POST" }, { endStream: false });
    const ended = answer(endless);
    await new Promise((resolve) => endless.once("data", resolve));
    rules("access: read-only");
    proxy.egress.closeDisallowed();
    expect((await ended).code).toBe(8);
    serve = echo;
    expect((await ask(session, { ":path": "/x", ":method": "POST" }, "x")).status).toBe(403);
    expect((await ask(session, { ":path": "/x" })).status).toBe(200);
  });

  test("a server that speaks HTTP/1.1 alone gets it, trailers and interim answers come back", async () => {
    const session = await client(h1Port);
    const uploads = await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        ask(session, { ":path": `/${index}`, ":method": "POST", cookie: ["a=1", "b=2"] as never }, "x".repeat(index)),
      ),
    );
    for (const [index, { status, text, headers }] of uploads.entries()) {
      expect(status).toBe(200);
      expect(headers).not.toContainAnyKeys(["connection", "keep-alive", "transfer-encoding"]);
      expect(JSON.parse(text)).toMatchObject({ method: "POST", version: "1.1", size: index, headers: { host: `a.example:${h1Port}` } });
    }
    expect((await ask(session, { ":path": "/early" })).interim).toMatchObject([{ ":status": 103 }]);
    const bodiless = await ask(session, { ":path": "/head", ":method": "HEAD" });
    expect(bodiless).toMatchObject({ status: 200, text: "" });
    expect((await ask(session, { ":path": "/x", ":method": "DELETE" })).status).toBe(403);
  });

  test("an HTTP/1.1 answer in chunks: extensions go, trailers stay; one that is cut ends the stream", async () => {
    let text = "";
    const port = await listenTls((tls) =>
      tls.on("data", (bytes: Buffer) => {
        text = bytes.toString();
        if (text.startsWith("GET /cut")) tls.end("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
        else tls.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3;e=x\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n");
      }),
    );
    proxy.load(`ports: [${port}], protocol: rest, enforcement: enforce, access: full`);
    const session = await client(port);
    expect(await ask(session, { ":path": "/trailers" })).toMatchObject({ status: 200, text: "abc", trailers: { "x-sum": "1" } });
    expect(text).toBe(`GET /trailers HTTP/1.1\r\nHost: a.example:${port}\r\n\r\n`);
    expect(await ask(session, { ":path": "/cut" })).toMatchObject({ status: 200, text: "half", code: 2 });
  });

  test("gRPC: trailers, an error that is all trailers, and a refusal that is one", async () => {
    serve = (stream, headers) => {
      if (headers[":path"] === "/s/Fail") {
        stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "5" }, { endStream: true });
        return;
      }
      expect(headers.te).toBe("trailers");
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", "grpc-message": "fine" }));
      stream.pipe(stream);
    };
    rules('rules: [{ allow: { method: POST, path: "/s/*" } }]');
    const session = await client();
    const grpc = (path: string) =>
      ask(session, { ":path": path, ":method": "POST", "content-type": "application/grpc", te: "trailers" }, "frame");
    expect(await grpc("/s/Echo")).toMatchObject({ status: 200, text: "frame", trailers: { "grpc-status": "0" } });
    expect(await grpc("/s/Fail")).toMatchObject({ status: 200, headers: { "grpc-status": "5" } });
    const refused = await grpc("/other/Call");
    expect(refused).toMatchObject({ status: 200, headers: { "content-type": "application/grpc", "grpc-status": "7" } });
    expect(String(refused.headers["grpc-message"])).toContain("POST /other/Call not permitted");
  });

  test("a body that the decision needs is collected; the one that was decided on is sent", async () => {
    proxy.load(`ports: [${h2Port}, ${h1Port}], protocol: graphql, enforcement: enforce, access: read-only`);
    for (const port of [h2Port, h1Port]) {
      const session = await client(port);
      const graphql = (query: string) =>
        ask(session, { ":path": "/graphql", ":method": "POST", "content-type": "application/json" }, JSON.stringify({ query }));
      const allowed = await graphql("{ user { name } }");
      expect(JSON.parse(allowed.text)).toMatchObject({ method: "POST", size: 29 });
      expect((await graphql("mutation { drop }")).status).toBe(403);
      expect((await graphql(`{ a(x: "${"y".repeat(70_000)}") }`)).status).toBe(413);
    }
    expect(seen).toEqual(["POST /graphql", "POST /graphql"]);
    const slow = (await raw()).begin();
    slow.request(1, head([":method", "POST"], [":path", "/graphql"], ["content-type", "application/json"]), false).data(1, "{", false);
    await slow.sees(/^1 :status=408/);
    slow.close();
  });
});

describe("what is refused", () => {
  test("threat-23 another authority, Host, scheme or method than the connection was decided for", async () => {
    const session = (await raw()).begin();
    for (const [index, [fields, answer]] of (
      [
        [[[":authority", "b.example"]], /:status=421/],
        [[[":authority", "a.example:1"]], /:status=421/],
        [[[":authority", "user@a.example"]], /:status=400/],
        [[["host", "b.example"]], /:status=421/],
        [[[":scheme", "http"]], /:status=421/],
        [[[":path", "*"]], /:status=400/],
        [[[":path", "x"]], /:status=400/],
        [[[":path", "/a\\b"]], /:status=400/],
        [[["x", "caf\xe9"]], /:status=400/],
        [[[":method", "TRACE"]], /:status=405/],
        [[[":method", "CONNECT"]], /:status=405/],
        [[["x", "y".repeat(20_000)]], /:status=431/],
        [Array.from({ length: 101 }, (_, at) => [`x-${at}`, "y"] as const), /:status=431/],
      ] as readonly (readonly [readonly RawField[], RegExp])[]
    ).entries()) {
      session.request(2 * index + 1, head(...fields));
      expect(await session.sees(new RegExp(`^${2 * index + 1} `))).toMatch(answer);
    }
    expect(seen).toEqual([]);
    session.close();
    const misdirected = new RawHttp2(await proxy.secure(h2Port, ["h2"], "b.example")).begin().request(1, head());
    expect(await misdirected.sees(/^1 /)).toContain(":status=421");
    misdirected.close();
  });

  test("threat-23 malformed requests reset their stream (RFC 9113 section 8)", async () => {
    const session = (await raw()).begin();
    const malformed: readonly (readonly RawField[])[] = [
      head([":protocol", "websocket"], [":method", "CONNECT"]),
      head([":status", "200"]),
      head([":unknown", "x"]),
      [...head(), [":path", "/again"]],
      [...head(["x", "y"]), [":method", "GET"]],
      head().filter(([name]) => name !== ":path"),
      head().filter(([name]) => name !== ":scheme"),
      head().filter(([name]) => name !== ":method"),
      head([":path", ""]),
      head([":method", "G T"]),
      head(["connection", "close"]),
      head(["proxy-connection", "close"]),
      head(["keep-alive", "timeout=5"]),
      head(["transfer-encoding", "chunked"]),
      head(["upgrade", "h2c"]),
      head(["te", "gzip"]),
      head(["X-Upper", "y"]),
      head(["x y", "z"]),
      head(["", "z"]),
      head(["x", "a\r\nb: c"]),
      head(["x", "a\0"]),
      head(["x", " a"]),
      head(["x", "a\t"]),
      head(["content-length", "5"]),
      head(["content-length", "x"]),
      head(["content-length", "0"], ["content-length", "1"]),
    ];
    for (const [index, fields] of malformed.entries()) {
      session.request(2 * index + 1, fields);
      expect(await session.sees(new RegExp(`^${2 * index + 1} `))).toBe(`${2 * index + 1} reset protocolError`);
    }
    expect(seen).toEqual([]);
    session.close();
  });

  test("case-67 threat-23 a body of another length than announced, and trailers that frame, authorise or mean another request", async () => {
    const session = (await raw()).begin();
    let ends = 0;
    serve = (stream) => void stream.resume().on("end", () => ends++);
    const post = (stream: number, length: string) => session.request(stream, head([":method", "POST"], ["content-length", length]), false);
    post(1, "3").data(1, "four");
    post(3, "5").data(3, "four");
    post(5, "0").data(5, "x");
    post(7, "4")
      .data(7, "four", false)
      .request(7, [["content-length", "4"]]);
    post(9, "9")
      .data(9, "four", false)
      .request(9, [["x", "y"]]);
    const late = ["authorization: x", "cookie: x", "content-type: x", "x-http-method-override: DELETE", "x: openshell:resolve:env:KEY"];
    for (const [index, line] of late.entries()) {
      const [name = "", value = ""] = line.split(": ");
      post(11 + 2 * index, "4")
        .data(11 + 2 * index, "four", false)
        .request(11 + 2 * index, [[name, value]]);
    }
    for (const stream of [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]) await session.sees(new RegExp(`^${stream} reset protocolError`));
    expect(ends).toBe(0);
    session.close();
  });

  test("threat-34 a connection that breaks the protocol ends, and an event says so", async () => {
    const session = (await raw()).begin().send(frame(FrameType.data, 0, 0, Buffer.from("x")));
    await session.sees(/^goaway protocolError/);
    await session.end();
    expect(proxy.events.at(-1)).toMatchObject({ kind: "network", action: "denied", code: "http2_protocol" });
    const flood = (await raw()).begin().send(...Array.from({ length: 1100 }, () => frame(FrameType.ping, 0, 0, Buffer.alloc(8))));
    await flood.sees(/^goaway enhanceYourCalm/);
    expect(proxy.events.at(-1)).toMatchObject({ code: "http2_flood" });
  });

  test("threat-34 threat-23 what is begun and never completed ends: preface, SETTINGS, a frame, a header block", async () => {
    for (const beginning of [
      [PREFACE.subarray(0, 20)],
      [PREFACE],
      [PREFACE, settingsFrame([]), Buffer.of(0, 0, 10, FrameType.headers, 4)],
      [PREFACE, settingsFrame([]), frame(FrameType.headers, 0, 1, Buffer.of(0x82))],
    ]) {
      const session = (await raw()).send(...beginning);
      await session.sees(/^goaway enhanceYourCalm/);
      await session.end();
    }
    const trickle = (await raw()).begin().send(frame(FrameType.headers, 0, 1, Buffer.of(0x82)));
    const timer = setInterval(() => trickle.send(frame(FrameType.continuation, 0, 1)), 100);
    await trickle.sees(/^goaway enhanceYourCalm/);
    clearInterval(timer);
  });
});

describe("connections", () => {
  test("a stream that the client cancels is cancelled at the server, and the connection goes on", async () => {
    let cancelled = 0;
    serve = (stream) => void stream.on("close", () => cancelled++).on("aborted", () => {});
    const session = await client();
    const stream = session.request({ ":path": "/wait" });
    stream.on("error", () => {});
    await eventually("the request at the server", 5000, async () => seen.length > 0 || undefined);
    stream.close(8);
    await eventually("its end", 5000, async () => cancelled > 0 || undefined);
    serve = echo;
    expect((await ask(session, { ":path": "/next" })).status).toBe(200);
  });

  test("a server that says GOAWAY is replaced by a new connection to it", async () => {
    const session = await client();
    expect((await ask(session, { ":path": "/1" })).status).toBe(200);
    for (const served of sessions) served.goaway(0);
    await eventually("GOAWAY at the proxy", 5000, async () => {
      for (const served of sessions) if (served.closed || served.destroyed) return true;
      return (await ask(session, { ":path": "/again" })).status === 200 || undefined;
    });
    expect((await ask(session, { ":path": "/2" })).status).toBe(200);
  });

  test("a server that is gone is a 502, one that is reset in the middle ends the stream", async () => {
    const session = await client();
    serve = (stream) => {
      stream.respond({ ":status": 200 });
      stream.write("half");
    };
    const stream = session.request({ ":path": "/half" });
    const ended = answer(stream);
    await new Promise((resolve) => stream.once("data", resolve));
    for (const socket of sockets) socket.destroy();
    const half = await ended;
    expect(half).toMatchObject({ status: 200, text: "half", code: 2 });
    proxy.load(`ports: [${h2Port}, 1], protocol: rest, enforcement: enforce, access: full`);
    const nobody = await client(1);
    const unreachable = await ask(nobody, { ":path": "/" });
    expect(unreachable.status).toBe(502);
    expect(JSON.parse(unreachable.text)).toMatchObject({ error: "upstream_unreachable" });
  });

  test("without request rules HTTP/2 passes too, each request told of; a client gets what the server speaks", async () => {
    proxy.load(`ports: [${h2Port}, ${h1Port}]`);
    const session = await client(h2Port);
    expect((await ask(session, { ":path": "/@scope%2fname//x", ":method": "DELETE" })).headers["x-path"]).toBe("/@scope%2fname//x");
    expect(proxy.events.filter(({ kind }) => kind === "http")).toHaveLength(1);
    const tls = await proxy.secure(h1Port, ["h2", "http/1.1"]);
    expect(tls.alpnProtocol).toBe("http/1.1");
    tls.destroy();
  });

  test("24 MiB both ways; a side that stalls holds the other back and the connection's other streams go on", async () => {
    const size = 24 * 1024 * 1024;
    const block = Buffer.alloc(65_536, 7);
    let received = 0;
    let stalled: ServerHttp2Stream | undefined;
    serve = (stream, headers) => {
      if (headers[":path"] === "/stall") {
        stalled = stream.pause();
        stream.respond({ ":status": 200 });
        return;
      }
      stream.on("data", (bytes: Buffer) => {
        received += bytes.length;
      });
      stream.on("end", () => {
        stream.respond({ ":status": 200 });
        let sent = 0;
        const pump = () => {
          while (sent < size) {
            sent += block.length;
            if (!stream.write(block)) return;
          }
          stream.end();
        };
        stream.on("drain", pump);
        pump();
      });
    };
    const session = await client();
    const stuck = session.request({ ":path": "/stall", ":method": "POST" }, { endStream: false });
    stuck.on("error", () => {});
    let accepted = 0;
    const push = () => {
      while (accepted < size) {
        accepted += block.length;
        if (!stuck.write(block)) return;
      }
    };
    stuck.on("drain", push);
    push();
    const stream = session.request({ ":path": "/both", ":method": "POST" }, { endStream: false });
    for (let sent = 0; sent < size; sent += block.length)
      if (!stream.write(block)) await new Promise((resolve) => stream.once("drain", resolve));
    stream.end();
    let got = 0;
    stream.on("data", (bytes: Buffer) => {
      got += bytes.length;
    });
    await new Promise((resolve) => stream.once("end", resolve));
    expect(received).toBe(size);
    expect(got).toBe(size);
    // The server took at most its own window and ours, and the client learned that.
    expect(accepted).toBeLessThan(8 * 1024 * 1024);
    expect(stalled).toBeDefined();
    stuck.close(8);
  }, 60_000);
});
