import { beforeAll, describe, expect, test } from "bun:test";
import { createServer } from "node:net";
import { type ConnectionOptions, connect } from "node:tls";
import { readClientHello } from "./client-hello.ts";

/** The first bytes of a real client. */
function helloOf(options: ConnectionOptions): Promise<Buffer> {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", (bytes: Buffer) => {
        socket.destroy();
        server.close();
        resolve(bytes);
      });
    });
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      connect({ host: "127.0.0.1", port, rejectUnauthorized: false, ...options }).on("error", () => {});
    });
  });
}

describe("ClientHello", () => {
  let named: Buffer;
  beforeAll(async () => {
    named = await helloOf({ servername: "api.example.com", ALPNProtocols: ["h2", "http/1.1"] });
  });

  test("of a real client: its name and protocols, as soon as the last byte is there and not before", () => {
    expect(readClientHello(named)).toEqual({ kind: "hello", serverName: "api.example.com", protocols: ["h2", "http/1.1"] });
    for (let size = 0; size < named.length; size++) expect(readClientHello(named.subarray(0, size))).toEqual({ kind: "incomplete" });
  });

  test("without a name", async () => {
    expect(await helloOf({}).then(readClientHello)).toMatchObject({ kind: "hello", serverName: undefined });
  });

  test("split over many records", () => {
    const message = named.subarray(5);
    const records: Buffer[] = [];
    for (let at = 0; at < message.length; at += 50) {
      const part = message.subarray(at, at + 50);
      records.push(Buffer.of(0x16, 3, 1, 0, part.length), part);
    }
    expect(readClientHello(Buffer.concat(records))).toMatchObject({ serverName: "api.example.com" });
  });

  test("what is none is invalid", () => {
    const cases: readonly (readonly number[])[] = [
      [0x16, 2, 0, 0, 5, 1, 0, 0, 1, 0],
      [0x16, 3, 1, 0, 0],
      [0x16, 3, 1, 0xff, 0xff, 1],
      [0x16, 3, 1, 0, 5, 2, 0, 0, 1, 0],
      [0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0],
      [0x16, 3, 1, 0, 5, 1, 0xff, 0xff, 0xff, 0],
    ];
    for (const bytes of cases) expect(readClientHello(Buffer.from(bytes))).toMatchObject({ kind: "invalid", reason: expect.any(String) });
  });

  test("any damage gives an answer and never a fault", () => {
    for (let seed = 7, i = 0; i < 20_000; i++) {
      const bytes = Buffer.from(named);
      for (let changes = 0; changes < 3; changes++) {
        seed = (seed * 48_271) % 2_147_483_647;
        bytes[seed % bytes.length] = (seed >>> 8) & 0xff;
      }
      expect(["hello", "invalid", "incomplete"]).toContain(readClientHello(bytes).kind);
    }
  });
});
