/** Connections that a program prepared before rules about requests came: none of them escapes the rules, or keeps others from being ended. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, createServer, type Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { eventually } from "../../../../../test/eventually.ts";
import { listenTcp } from "../../../../linux/listener.ts";
import { InspectingProxy } from "./inspection.test-support.ts";
import { RawHttp2 } from "./raw-http2.test-support.ts";

let proxy: InspectingProxy;
let port = 0;
/** What the server says to each piece that it gets. */
let answer: (text: string) => string = () => "";
const sockets = new Set<Socket>();

beforeAll(async () => {
  proxy = await InspectingProxy.open();
  const secureContext = await proxy.upstreamCa.context("a.example");
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    const tls = new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: ["http/1.1"] });
    tls.on("error", () => tls.destroy()).on("data", (bytes: Buffer) => tls.write(answer(bytes.toString("latin1"))));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  port = (server.address() as { port: number }).port;
});
afterAll(() => {
  for (const socket of sockets) socket.destroy();
  proxy[Symbol.dispose]();
});

const withoutRules = () => proxy.load(`port: ${port}`);
const withRules = () => proxy.load(`port: ${port}, protocol: rest, enforcement: enforce, access: read-only`);

/** A client of the server that tells what it got, and whether it was ended. */
async function client() {
  const tls = await proxy.secure(port, ["http/1.1"]);
  const state = { got: "", ended: false };
  tls.on("data", (bytes: Buffer) => {
    state.got += bytes.toString("latin1");
  });
  tls
    .on("error", () => {})
    .on("close", () => {
      state.ended = true;
    });
  return {
    state,
    send: (text: string) => tls.write(text),
    got: (text: string) => eventually(text, 10_000, async () => (state.got.includes(text) ? true : undefined)),
    ended: () => eventually("the end", 10_000, async () => (state.ended ? true : undefined)),
  };
}

describe("threat-23 before there were rules", () => {
  test.each(["/%zz", "/..", "/a%5cb", "/?a=%"])("a request for %s, which rules cannot read, ends when they come", async (path) => {
    withoutRules();
    answer = () => "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun";
    const unreadable = await client();
    unreadable.send(`GET ${path} HTTP/1.1\r\nHost: a.example:${port}\r\n\r\n`);
    await unreadable.got("begun");
    // Decided about after it: it must be reached.
    const writing = await client();
    writing.send(`PUT /x HTTP/1.1\r\nHost: a.example:${port}\r\nContent-Length: 5\r\n\r\n`);
    await writing.got("begun");
    withRules();
    proxy.egress.closeDisallowed();
    await unreadable.ended();
    await writing.ended();
  });

  test("the same over HTTP/2", async () => {
    withoutRules();
    answer = () => "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun";
    const h2 = new RawHttp2(await proxy.secure(port, ["h2"])).begin();
    h2.request(1, [
      [":method", "GET"],
      [":scheme", "https"],
      [":path", "/%zz"],
      [":authority", `a.example:${port}`],
    ]);
    await h2.sees(/^1 data begun/);
    withRules();
    proxy.egress.closeDisallowed();
    await h2.sees(/^1 reset/);
    h2.close();
  });

  test.each([
    ["PUT", true],
    ["GET", false],
  ])("a plain request by the proxy that is under way: %s", async (method, ends) => {
    const server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket) => void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun") },
    });
    const { port: at } = server;
    proxy.load(`port: ${at}`);
    const socket = connect(proxy.port, "127.0.0.1");
    let got = "";
    socket
      .on("error", () => {})
      .on("data", (bytes: Buffer) => {
        got += bytes.toString("latin1");
      });
    socket.write(`${method} http://a.example:${at}/x HTTP/1.1\r\nHost: a.example:${at}\r\n\r\n`);
    await eventually("an answer", 10_000, async () => (got.includes("begun") ? true : undefined));
    proxy.load(`port: ${at}, protocol: rest, enforcement: enforce, access: read-only`);
    expect(proxy.egress.closeDisallowed()).toBe(ends ? 1 : 0);
    socket.destroy();
    server.stop(true);
  });

  test("a change to a protocol that no rule could have passed ends when they come", async () => {
    withoutRules();
    answer = (text) => (text.startsWith("GET") ? "HTTP/1.1 101 x\r\nUpgrade: own\r\nConnection: Upgrade\r\n\r\n" : `echo ${text}`);
    const changed = await client();
    changed.send(`GET /x HTTP/1.1\r\nHost: a.example:${port}\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\n`);
    await changed.got("101");
    changed.send("bytes");
    await changed.got("echo bytes");
    withRules();
    expect(proxy.egress.closeDisallowed()).toBe(1);
    await changed.ended();
  });
});

describe("threat-23 rules that come while a server is dialled", () => {
  /** A server whose kernel takes no connection before `open`; what it gets. */
  async function closedServer() {
    const free = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const { port: at } = free;
    free.stop(true);
    // A queue of one, and it is full.
    const fd = listenTcp("127.0.0.1", at, 0);
    const filler = connect(at, "127.0.0.1").on("error", () => {});
    await new Promise((resolve) => filler.once("connect", resolve));
    const state = { got: "" };
    const open = () => {
      const server = { fd } as unknown as { hostname: string; port: number };
      const echo = (socket: { write(text: string): number }, bytes: Buffer) => {
        state.got += bytes.toString("latin1");
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      };
      const listening = Bun.listen({ ...server, socket: { data: echo } });
      filler.destroy();
      return listening;
    };
    return { at, state, open };
  }

  test.each([
    ["CONNECT", (at: number) => `CONNECT a.example:${at} HTTP/1.1\r\nHost: a.example:${at}\r\n\r\n`],
    ["PUT", (at: number) => `PUT http://a.example:${at}/x HTTP/1.1\r\nHost: a.example:${at}\r\nContent-Length: 0\r\n\r\n`],
  ])("are those that count when it answers: %s", async (_, request) => {
    const { at, state, open } = await closedServer();
    proxy.load(`port: ${at}`);
    const socket = connect(proxy.port, "127.0.0.1");
    let got = "";
    socket
      .on("error", () => {})
      .on("data", (bytes: Buffer) => {
        if (got === "" && bytes.toString().startsWith("HTTP/1.1 200 Conn")) socket.write("\x00no request at all");
        got += bytes.toString("latin1");
      });
    socket.write(request(at));
    await eventually("a connection under way", 10_000, async () => (proxy.egress.connections > 0 ? true : undefined));
    await Bun.sleep(50);
    proxy.load(`port: ${at}, protocol: rest, enforcement: enforce, access: read-only`);
    proxy.egress.closeDisallowed();
    const server = open();
    await eventually("an answer", 20_000, async () => (/HTTP\/1.1 (?!200 Conn)|ok$/.test(got) ? true : undefined));
    expect({ got, server: state.got }).toEqual({ got: expect.stringContaining("HTTP/1.1 403 "), server: "" });
    socket.destroy();
    server.stop(true);
  });
});

test("trailers that cannot be read end the answer, not the proxy", async () => {
  withRules();
  answer = () => `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n${"a:b\r\n".repeat(400)}\r\n`;
  const h2 = new RawHttp2(await proxy.secure(port, ["h2"])).begin();
  h2.request(1, [
    [":method", "GET"],
    [":scheme", "https"],
    [":path", "/"],
    [":authority", `a.example:${port}`],
  ]);
  await h2.sees(/^1 reset internalError/);
  h2.close();
});
