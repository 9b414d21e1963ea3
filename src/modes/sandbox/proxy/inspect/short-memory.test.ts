/** What passes while the budget of all flows is used up: less at a time, but all of it, and nothing waits for another flow. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { request as request1 } from "node:http";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, createSecureServer, type Http2SecureServer } from "node:http2";
import { createServer } from "node:https";
import type { Duplex } from "node:stream";
import { Readable } from "node:stream";
import { eventually } from "../../../../../test/eventually.ts";
import { HELD_BUDGET_BYTES, heldBytes, holdBytes } from "../held-bytes.ts";
import { InspectingProxy } from "./inspection.test-support.ts";

const SIZE = 3 * 1024 * 1024;
const BODY = Buffer.from(
  Array.from({ length: SIZE / 4 }, (_, at) => Math.imul(at, 0x9e3779b1)).flatMap((word) => [word, word >> 8, word >> 16, word >> 24]),
);

let proxy: InspectingProxy;
let port2 = 0;
let port1 = 0;
const ends: (() => void)[] = [];

async function listening(server: Http2SecureServer | ReturnType<typeof createServer>): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ends.push(() => server.close());
  return (server.address() as { port: number }).port;
}

/** All that comes out; `stalled`: nothing is read before that. */
async function all(from: Readable | Duplex, stalled?: Promise<unknown>): Promise<Buffer> {
  await stalled;
  const pieces: Buffer[] = [];
  for await (const piece of from) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

async function session(port: number): Promise<ClientHttp2Session> {
  const tls = await proxy.secure(port, ["h2"]);
  const session = connect(`https://a.example:${port}`, { createConnection: () => tls as never });
  session.on("error", () => {});
  ends.push(() => session.destroy());
  return session;
}

function echoed2(session: ClientHttp2Session, stalled?: Promise<unknown>): Promise<Buffer> {
  const stream: ClientHttp2Stream = session.request({ ":path": "/echo", ":method": "POST" });
  stream.on("error", () => {});
  Readable.from([BODY.subarray(0, 1000), BODY.subarray(1000)]).pipe(stream);
  return all(stream, stalled);
}

async function echoed1(port: number): Promise<Buffer> {
  const tls = await proxy.secure(port, ["http/1.1"]);
  return await new Promise((resolve, reject) => {
    const request = request1(
      { createConnection: () => tls, method: "POST", path: "/echo", headers: { host: `a.example:${port}` } },
      (response) => all(response).then(resolve, reject),
    );
    request.on("error", reject).end(BODY);
  });
}

beforeAll(async () => {
  proxy = await InspectingProxy.open();
  const leaf = await proxy.upstreamCa.leaf("a.example");
  const server = createSecureServer({ ...leaf, allowHTTP1: false });
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.respond({ ":status": 200 });
    stream.pipe(stream);
  });
  port2 = await listening(server);
  port1 = await listening(createServer(leaf, (request, response) => request.pipe(response)));
  proxy.load(`ports: [${port2}, ${port1}], protocol: rest, enforcement: enforce, access: full`);
  holdBytes(HELD_BUDGET_BYTES);
});
afterAll(() => {
  holdBytes(-HELD_BUDGET_BYTES);
  for (const end of ends) end();
  proxy[Symbol.dispose]();
});

describe("while memory is short", () => {
  test("threat-28 bodies pass both ways, HTTP/1 and HTTP/2 on either side", async () => {
    const [to2, to1] = [await session(port2), await session(port1)];
    const bodies = await Promise.all([echoed2(to2), echoed2(to2), echoed2(to1), echoed2(to1), echoed1(port1)]);
    for (const body of bodies) expect(body.equals(BODY)).toBe(true);
  }, 120_000);

  test("threat-28 streams that nobody reads keep no other connection waiting, and go on when they are read", async () => {
    const others = Promise.withResolvers<void>();
    const stuck = [echoed2(await session(port2), others.promise), echoed2(await session(port1), others.promise)];
    const beside = [echoed2(await session(port2)), echoed2(await session(port1)), echoed1(port1)];
    for (const body of await Promise.all(beside)) expect(body.equals(BODY)).toBe(true);
    others.resolve();
    for (const body of await Promise.all(stuck)) expect(body.equals(BODY)).toBe(true);
  }, 120_000);

  test("what is held is given back when connections end in the middle", async () => {
    const before = heldBytes();
    const never = new Promise<void>(() => {});
    for (const port of [port2, port1]) for (let count = 0; count < 5; count++) echoed2(await session(port), never).catch(() => {});
    await eventually("bytes that are held", 30_000, async () => heldBytes() > before || undefined);
    for (const end of ends.slice(2)) end();
    await eventually(
      "nothing is held",
      30_000,
      async () => heldBytes() <= before || undefined,
      async () => `${heldBytes()}`,
    );
  }, 120_000);
});
