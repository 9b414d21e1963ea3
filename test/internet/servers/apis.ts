/** APIs whose requests are in bodies and messages: they answer with what they were sent. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import type { Site } from "./sites.ts";

/** Answers with the body itself, as it came. */
export const echoBody: Site = (request, body, response) => {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify({ method: request.method, url: request.url, body: body.toString() }));
};

/** Offers compression; who gets it can say so. */
const sockets = new WebSocketServer({
  noServer: true,
  perMessageDeflate: { threshold: 0 },
  handleProtocols: (offered) => [...offered][0] ?? false,
});

/** Each message comes back behind `echo:`, a binary one as it is; `heard` is told of it first. */
export function serveWebSocket(request: IncomingMessage, socket: Duplex, head: Buffer, heard: (message: string) => void): void {
  sockets.handleUpgrade(request, socket, head, (client) => {
    client.on("error", () => client.terminate());
    client.on("close", (code) => heard(`close ${code}`));
    client.on("message", (message: Buffer, binary: boolean) => {
      heard(binary ? `binary ${message.length}` : message.toString().slice(0, 80));
      if (binary) client.send(message);
      else client.send(`echo:${message.toString()}`);
    });
  });
}
