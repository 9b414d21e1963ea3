/** HTTP/2 over TLS (ALPN h2, HTTP/1.1 refused), with a certificate for `name`. It answers with what it was asked. */
import { createSecureServer, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { TestCa } from "../certificates.ts";
import { type Ledger, plainAddress } from "./web.ts";

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
    stream.respond({ ":status": 200, "content-type": "application/json" });
    stream.end(JSON.stringify({ ...seen, protocol: "h2" }));
  });
  server.on("sessionError", () => undefined);
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "::", resolve));
}
