/** Requests that are none, sent by a stranger before anybody asked who it is: an answer, and the gateway goes on. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { Health } from "../../../rpc/gen/grpc/health/v1/health_pb.ts";
import { openPki, type Pki } from "../auth/pki.ts";
import { type Listening, listen } from "./server.ts";

const MOST = 16;
const PATH = "/grpc.health.v1.Health/Check";
const ASKED_FOR = ["127.0.0.1 evil.test", "[::1", "a:b:c", "127.0.0.1:99999999", "%zz"];

for (const secure of [false, true]) {
  describe(secure ? "over TLS" : "in the clear", () => {
    let directory: string;
    let pki: Pki | undefined;
    let server: Listening;
    beforeAll(async () => {
      directory = mkdtempSync(join(tmpdir(), "openshell-http-"));
      pki = secure ? await openPki(join(directory, "tls")) : undefined;
      server = await listen({
        port: 0,
        bindAddress: "127.0.0.1",
        pki,
        routes: (router) => router.service(Health, { check: () => ({ status: 1 }) }),
        mostConnections: MOST,
        handshakeTimeout: 1000,
        pages: (_request, response) => void (response as { end(text: string): void }).end("page"),
      });
    });
    afterAll(async () => {
      await server?.close();
      rmSync(directory, { recursive: true, force: true });
    });

    const dial = (): Socket =>
      pki === undefined
        ? connect(server.port, "127.0.0.1")
        : connectTls({ port: server.port, host: "127.0.0.1", ca: pki.caCertificate, ALPNProtocols: ["http/1.1"] });

    /** The first line of what comes back; empty when the connection was only closed. */
    function send(head: string): Promise<string> {
      return new Promise((resolve) => {
        const socket = dial();
        let text = "";
        socket.on("data", (bytes: Buffer) => {
          text += bytes.toString("latin1");
          if (text.includes("\r\n\r\n")) socket.destroy();
        });
        socket.on("error", () => {});
        socket.on("close", () => resolve(text.split("\r\n")[0] ?? ""));
        socket.write(head);
      });
    }

    /** `:status` of a request over HTTP/2, or that it was reset. */
    function ask(headers: Record<string, string>): Promise<string> {
      const session = connectHttp2(
        `${secure ? "https" : "http"}://127.0.0.1:${server.port}`,
        pki === undefined ? {} : { ca: pki.caCertificate },
      );
      return new Promise<string>((resolve) => {
        session.on("error", () => resolve("closed"));
        const stream = session.request({ ":method": "POST", "content-type": "application/json", ...headers });
        stream.on("response", (answer) => resolve(String(answer[":status"])));
        stream.on("error", () => resolve("reset"));
        stream.on("close", () => resolve("closed"));
        stream.end("{}");
      }).finally(() => session.destroy());
    }

    const works = () => send(`POST ${PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`);

    test("a Host that is none", async () => {
      for (const host of ASKED_FOR) {
        const line = await send(`POST ${PATH} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`);
        expect(line).not.toContain(" 200 ");
        expect(await works()).toContain(" 200 ");
      }
    });

    test("no Host at all", async () => {
      expect(await send(`POST ${PATH} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`)).not.toContain(" 200 ");
      expect(await works()).toContain(" 200 ");
    });

    test("an :authority that is none", async () => {
      for (const authority of ASKED_FOR) {
        expect(await ask({ ":path": PATH, ":authority": authority })).not.toBe("200");
        expect(await ask({ ":path": PATH })).toBe("200");
      }
    });

    test("silent connections, more than there is room for, are closed: the others by time, and then there is room again", async () => {
      const silent = Array.from({ length: MOST + 8 }, () => connect(server.port, "127.0.0.1"));
      const closed = silent.map(
        (socket) =>
          new Promise<void>((resolve) =>
            socket
              .on("error", () => {})
              .on("close", () => resolve())
              .resume(),
          ),
      );
      await Promise.all(closed);
      expect(await works()).toContain(" 200 ");
    });
  });
}
