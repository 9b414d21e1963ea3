import { afterEach, expect, test } from "bun:test";
import { createServer, type Server, type Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { ProviderError } from "../../../inference/provider-client.ts";
import { SandboxCa } from "../proxy/tls/sandbox-ca.ts";
import type { ProviderAnswer } from "./provider-connection.ts";
import { ProviderLink } from "./provider-link.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A server whose `say` gets the number of the connection, counted from 1, and of the request on it. */
async function serving(say: (socket: Socket, connection: number, request: number, text: string) => void) {
  let connections = 0;
  const server = createServer((socket) => {
    const connection = ++connections;
    let requests = 0;
    socket.on("error", () => {}).on("data", (bytes) => say(socket, connection, ++requests, bytes.toString()));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return { port, connections: () => connections };
}

function linkTo(port: number, host = "model.test", addresses = ["127.0.0.1"], scheme = "http", authorities: string[] = []) {
  return new ProviderLink({ baseUrl: new URL(`${scheme}://${host}:${port}/v1`) }, { resolve: async () => addresses, authorities });
}

function ask(link: ProviderLink, body = "{}", headers: Record<string, string> = {}, signal = new AbortController().signal) {
  return link.send({ method: "POST", url: new URL("http://model.test/v1/x?a=b"), headers, body, signal });
}

async function text({ body }: ProviderAnswer): Promise<string> {
  let all = "";
  for (let piece = await body?.read(); piece?.value !== undefined; piece = await body?.read()) all += Buffer.from(piece.value).toString();
  return all;
}

const answer = (body: string, more = "") => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`;

test("a request as it is sent, and answers in every framing; the connection is kept where it may be", async () => {
  let heard = "";
  const { port, connections } = await serving((socket, _, request, said) => {
    heard = said;
    if (request === 1) socket.write(answer("one", "X-Y: z\r\n"));
    else if (request === 2)
      socket.write(
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ntw\r\n1\r\no\r\n0\r\n\r\n",
      );
    else if (request === 3) socket.write("HTTP/1.1 204 No Content\r\n\r\n");
    else socket.end("HTTP/1.1 200 OK\r\n\r\nuntil the end");
  });
  using link = linkTo(port);
  const first = await ask(link, '{"a":"é"}', { "x-a": "b" });
  expect([first.status, first.headers.get("x-y"), await text(first)]).toEqual([200, "z", "one"]);
  expect(heard).toBe(
    'POST /v1/x?a=b HTTP/1.1\r\nhost: model.test\r\naccept: */*\r\nconnection: keep-alive\r\nx-a: b\r\ncontent-length: 10\r\n\r\n{"a":"é"}',
  );
  expect(await text(await ask(link))).toBe("two");
  expect([(await ask(link)).body, connections()]).toEqual([undefined, 1]);
  expect(await text(await ask(link))).toBe("until the end");
  expect(await text(await ask(link))).toBe("one");
  expect(connections()).toBe(2);
});

test("a kept connection that is closed under the next question: it is asked once more, on a new one", async () => {
  const { port, connections } = await serving((socket, _, request) => {
    if (request === 1) socket.write(answer("yes"));
    else socket.destroy();
  });
  using link = linkTo(port);
  expect(await text(await ask(link))).toBe("yes");
  expect(await text(await ask(link))).toBe("yes");
  expect(connections()).toBe(2);
});

test("faults: nobody there, closed at once, no HTTP, broken in the middle, more than was announced", async () => {
  const says: ((socket: Socket) => void)[] = [
    (socket) => socket.destroy(),
    (socket) => socket.write("SSH-2.0-x\r\n\r\n"),
    (socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
    (socket) => socket.write(`${answer("yes")}more`),
  ];
  const { port, connections } = await serving((socket, connection) => says[connection - 1]?.(socket));
  using link = linkTo(port);
  const failed = (asked: Promise<ProviderAnswer>) =>
    asked.then(
      () => "answered",
      (error: unknown) => (error instanceof ProviderError ? error.failure.kind : String(error)),
    );
  using nobody = linkTo(1);
  expect([await failed(ask(nobody)), await failed(ask(link)), await failed(ask(link))]).toEqual(["unavailable", "unavailable", "protocol"]);
  const half = await ask(link);
  await expect(text(half)).rejects.toThrow("the connection broke");
  expect(await text(await ask(link))).toBe("yes");
  expect(connections()).toBe(4);
  expect(await failed(ask(link, "{}", { "x-a": "b\r\nx-b: c" }))).toBe("unavailable");
  expect(connections()).toBe(4);
});

test("addresses are tried in their order", async () => {
  const { port } = await serving((socket) => void socket.write(answer("yes")));
  using link = linkTo(port, "model.test", ["127.0.0.2", "127.0.0.1"]);
  expect(await text(await ask(link))).toBe("yes");
});

test("whoever leaves ends the connection, before the answer and in its middle", async () => {
  let closed = 0;
  let wake = () => {};
  const { port } = await serving((socket, connection) => {
    socket.on("close", () => {
      closed++;
      wake();
    });
    if (connection === 2) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    else wake();
  });
  const next = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
    });
  using link = linkTo(port);
  const leaving = new AbortController();
  const heard = next();
  const asked = ask(link, "{}", {}, leaving.signal);
  asked.catch(() => {});
  await heard;
  const first = next();
  leaving.abort(new Error("left"));
  await expect(asked).rejects.toThrow("left");
  await first;
  const half = await ask(link);
  const second = next();
  await half.body?.cancel();
  await second;
  expect(closed).toBe(2);
});

for (const host of ["model.test", "127.0.0.1"])
  test(`a server proves its name inside TLS: ${host}`, async () => {
    const ca = new SandboxCa();
    const secureContext = ca.context(host);
    const server = createServer((socket) => {
      socket.on("error", () => socket.destroy());
      const tls = new TLSSocket(socket, { isServer: true, secureContext });
      tls.on("error", () => tls.destroy()).on("data", () => tls.write(answer("yes")));
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    using link = linkTo(port, host, ["127.0.0.1"], "https", [ca.certificate]);
    expect(await text(await ask(link))).toBe("yes");
    using other = linkTo(port, "other.test", ["127.0.0.1"], "https", [ca.certificate]);
    await expect(ask(other)).rejects.toBeInstanceOf(ProviderError);
    using stranger = linkTo(port, host, ["127.0.0.1"], "https", [new SandboxCa().certificate]);
    await expect(ask(stranger)).rejects.toBeInstanceOf(ProviderError);
  });

test("a question whose asker has gone before is not asked, also where a connection stands", async () => {
  let questions = 0;
  const { port } = await serving((socket) => {
    questions++;
    socket.write(answer("one"));
  });
  using link = linkTo(port);
  expect(await text(await ask(link))).toBe("one");
  await expect(ask(link, "{}", {}, AbortSignal.abort(new Error("gone")))).rejects.toThrow("gone");
  expect(await text(await ask(link))).toBe("one");
  expect(questions).toBe(2);
});
