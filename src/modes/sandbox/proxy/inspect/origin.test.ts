/** Connections to a server on loopback that speaks HTTP/1.1 alone, for requests of a client that may send many at once. */
import { afterEach, expect, test } from "bun:test";
import type { Socket } from "bun";
import { eventually } from "../../../../../test/eventually.ts";
import type { OriginRequest } from "../http1/origin-request.ts";
import { extraConnections, MAX_HTTP1_CONNECTIONS, Origin } from "./origin.ts";
import type { ServerExchangeEvents } from "./server-exchange.ts";

const ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const request = (method = "GET"): OriginRequest => ({
  method,
  path: "/",
  query: undefined,
  version: "2",
  fields: [],
  body: { kind: "none" },
  upgrade: "",
  keepAlive: true,
});

/** Accepts, and answers when told to. */
class Server implements Disposable {
  readonly open = new Set<Socket<undefined>>();
  accepted = 0;
  answers = true;
  #listener = Bun.listen<undefined>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => {
        this.accepted++;
        this.open.add(socket);
      },
      data: (socket) => {
        if (this.answers) socket.write(ANSWER);
      },
      close: (socket) => {
        this.open.delete(socket);
      },
    },
  });

  get port(): number {
    return this.#listener.port;
  }
  release(): void {
    this.answers = true;
    for (const socket of this.open) socket.write(ANSWER);
  }
  [Symbol.dispose](): void {
    this.#listener.stop(true);
  }
}

const origins: Origin[] = [];
const originOf = (port: number) => {
  const target = { addresses: ["127.0.0.1"], port, host: "a.example", authorities: [], dialMs: 1000, keepAliveMs: 60_000 };
  const origin = new Origin(target, { scheme: "http", host: "a.example" }, () => {});
  origins.push(origin);
  return origin;
};
afterEach(() => {
  for (const origin of origins.splice(0)) origin.abort();
});

/** Ends in the status, or why there is none. */
function ask(origin: Origin, method?: string): Promise<number | string> {
  return new Promise((resolve) => {
    let status = 0;
    const events: ServerExchangeEvents = {
      serverOpened: (server) => server.end([]),
      serverProgress() {},
      serverInterim() {},
      serverHead: (code) => {
        status = code;
      },
      serverData() {},
      serverEnded: () => resolve(status),
      serverBodyUnwanted() {},
      serverFailed: ({ problem, unprocessed }) => resolve(`${problem}${unprocessed ? " (not begun)" : ""}`),
    };
    origin.request(request(method), events);
  });
}

test("requests at once get a connection each, up to a limit; the rest wait; few are kept", async () => {
  using server = new Server();
  const origin = originOf(server.port);
  expect(await ask(origin)).toBe(200);
  server.answers = false;
  const asked = Array.from({ length: MAX_HTTP1_CONNECTIONS + 8 }, () => ask(origin));
  await eventually("all connections", 5000, async () => server.open.size === MAX_HTTP1_CONNECTIONS || undefined);
  expect(extraConnections()).toBe(MAX_HTTP1_CONNECTIONS - 1);
  server.release();
  expect(new Set(await Promise.all(asked))).toEqual(new Set([200]));
  await eventually("the end of those that nobody needs", 5000, async () => server.open.size === 2 || undefined);
  expect(extraConnections()).toBe(1);
  expect(server.accepted).toBe(MAX_HTTP1_CONNECTIONS);
  origin.abort();
  expect(extraConnections()).toBe(0);
});

test("threat-25 two clients share no connection", async () => {
  using server = new Server();
  const [one, other] = [originOf(server.port), originOf(server.port)];
  for (const origin of [one, other, one, other]) expect(await ask(origin)).toBe(200);
  expect(server.accepted).toBe(2);
});

test("a kept connection that turns out to be closed is told as such; one that never stood, with the reason", async () => {
  using server = new Server();
  const origin = originOf(server.port);
  expect(await ask(origin)).toBe(200);
  server.answers = false;
  const asked = ask(origin);
  await eventually("the request", 5000, async () => server.open.size === 1 || undefined);
  for (const socket of server.open) socket.end();
  expect(await asked).toBe("the server closed the connection before its answer was complete (not begun)");
  const { port } = server;
  server[Symbol.dispose]();
  expect(await ask(originOf(port))).toContain("connect");
});
