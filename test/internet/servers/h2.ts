/**
 * HTTP/2 over TLS (ALPN h2, HTTP/1.1 refused), with a certificate for `name`. It answers with what it was asked; gRPC calls get their own
 * messages back, as they come.
 */
import { createSecureServer, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { TestCa } from "../certificates.ts";
import { type Ledger, plainAddress, pourBytes, STALLED_AFTER_BYTES, stallOf } from "./web.ts";

export async function serveHttp2(port: number, name: string, ca: TestCa, ledger: Ledger): Promise<void> {
  const server = createSecureServer({ ...(await ca.leaf(name)), allowHTTP1: false });
  server.on("connection", (socket) => ledger.connections.add({ address: plainAddress(socket.localAddress), port }));
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    const seen = {
      scheme: "https" as const,
      method: String(headers[":method"]),
      path: String(headers[":path"]),
      host: String(headers[":authority"]),
      address: plainAddress(stream.session?.socket.localAddress),
      port,
    };
    ledger.requests.add(seen);
    stream.on("error", () => stream.destroy());
    if (headers["content-type"] === "application/grpc") {
      answerCall(stream, seen.path);
      return;
    }
    const wanted = /^\/public\/bytes\/(\d+)$/.exec(seen.path)?.[1];
    if (wanted !== undefined) {
      stream.respond({ ":status": 200 });
      pourBytes(stream, Number(wanted));
      return;
    }
    let bodyBytes = 0;
    let stallSeconds = stallOf(seen.path);
    stream.on("data", (bytes: Buffer) => {
      bodyBytes += bytes.length;
      if (stallSeconds === 0 || bodyBytes < STALLED_AFTER_BYTES) return;
      stream.pause();
      setTimeout(() => stream.resume(), stallSeconds * 1000);
      stallSeconds = 0;
    });
    stream.on("end", () => {
      stream.respond({ ":status": 200, "content-type": "application/json" });
      stream.end(JSON.stringify({ ...seen, protocol: "h2", authorization: headers.authorization, bodyBytes }));
    });
  });
  server.on("sessionError", () => undefined);
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "::", resolve));
}

/** `…/Fail`: an error that is all trailers. `…/Wait`: no answer. `…/Late`: an error behind the first message. Others: an echo. */
function answerCall(stream: ServerHttp2Stream, path: string): void {
  const head = { ":status": 200, "content-type": "application/grpc" };
  if (path.endsWith("/Wait")) return;
  if (path.endsWith("/Fail")) {
    stream.respond({ ...head, "grpc-status": "5", "grpc-message": "no such thing" }, { endStream: true });
    return;
  }
  stream.respond(head, { waitForTrailers: true });
  const late = path.endsWith("/Late");
  stream.on("wantTrailers", () => stream.sendTrailers(late ? { "grpc-status": "10", "grpc-message": "too late" } : { "grpc-status": "0" }));
  if (late) stream.once("data", (bytes: Buffer) => stream.end(bytes));
  else stream.pipe(stream);
}
