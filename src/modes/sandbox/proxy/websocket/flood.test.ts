/** Many messages at once, over real sockets. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createServer, type Server } from "node:net";
import { TLSSocket } from "node:tls";
import { eventually } from "../../../../../test/eventually.ts";
import { InspectingProxy } from "../inspect/inspection.test-support.ts";
import { applyMask, frame, freshMask, OPCODE, readFrameHead } from "./frame.ts";

let proxy: InspectingProxy;
let server: Server;
let port = 0;
let heard: Buffer = Buffer.alloc(0);
let ended: Promise<void>;

beforeAll(async () => {
  proxy = await InspectingProxy.open();
  const secureContext = await proxy.upstreamCa.context("a.example");
  let end = () => {};
  ended = new Promise((resolve) => {
    end = resolve;
  });
  server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    const tls = new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: ["http/1.1"] });
    tls.on("error", () => tls.destroy());
    tls.once("data", () => {
      tls.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
      tls.on("data", (bytes: Buffer) => {
        heard = Buffer.concat([heard, bytes]);
      });
      tls.on("end", end);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as { port: number }).port;
});
afterAll(() => {
  proxy[Symbol.dispose]();
  server.close();
});

function texts(bytes: Buffer): string[] {
  const found: string[] = [];
  for (let left = bytes; left.length > 0; ) {
    const head = readFrameHead(left);
    if (head?.mask === undefined) throw new Error("not a frame of a client");
    const payload = Buffer.from(left.subarray(head.size, head.size + head.length));
    applyMask(payload, head.mask, 0);
    found.push(payload.toString());
    left = left.subarray(head.size + head.length);
  }
  return found;
}

test("threat-16 ten thousand messages and the end behind them arrive, in order, each decided", async () => {
  proxy.load(`port: ${port}, protocol: websocket, access: full, enforcement: enforce`);
  const socket = await proxy.secure(port, ["http/1.1"]);
  const open = new Promise((resolve) => socket.once("data", resolve));
  const fields =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  socket.write(`GET / HTTP/1.1\r\nHost: a.example\r\n${fields}\r\n`);
  expect(String(await open)).toStartWith("HTTP/1.1 101 ");
  const numbers = Array.from({ length: 10_000 }, (_, index) => String(index));
  socket.end(Buffer.concat(numbers.map((number) => frame(OPCODE.text, Buffer.from(number), freshMask()))));
  await ended;
  expect(texts(heard)).toEqual(numbers);
  const told = () => proxy.events.flatMap((event) => (event.kind === "http" && event.method === "WEBSOCKET_TEXT" ? [event] : []));
  const counted = () =>
    told().reduce((all, { reason = "" }) => all + Number(/^(\d+) like this within a second$/.exec(reason)?.[1] ?? 1), 0);
  await eventually(
    "each is told of",
    30_000,
    async () => counted() === 10_000 || undefined,
    async () => `${counted()}`,
  );
  expect(told().length).toBeLessThan(5000);
});
