/** A gRPC server without any schema: each call gets its own message back. Plaintext HTTP/2, and over TLS with ALPN h2. */
import { createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { Ledger } from "./web.ts";
import { plainAddress } from "./web.ts";

function answer(stream: ServerHttp2Stream, path: string): void {
  const pieces: Buffer[] = [];
  stream.on("data", (piece: Buffer) => pieces.push(piece));
  stream.on("error", () => stream.destroy());
  stream.on("end", () => {
    const failing = path.endsWith("/Fail");
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () =>
      stream.sendTrailers(failing ? { "grpc-status": "5", "grpc-message": "no such thing" } : { "grpc-status": "0" }),
    );
    if (!failing) stream.write(Buffer.concat(pieces));
    stream.end();
  });
}

/** Serves every address on `port`, in plaintext. */
export async function serveGrpc(port: number, ledger: Ledger): Promise<Http2Server> {
  const server = createServer();
  server.on("connection", (socket) => ledger.connections.add({ address: plainAddress(socket.localAddress), port }));
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    const path = String(headers[":path"]);
    const address = plainAddress(stream.session?.socket.localAddress);
    ledger.requests.add({ scheme: "http", method: "POST", path, host: String(headers[":authority"]), address, port });
    answer(stream, path);
  });
  server.on("sessionError", () => undefined);
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "::", resolve));
  return server;
}
