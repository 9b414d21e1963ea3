/**
 * A client of `ws` for inside a sandbox, bundled into one file: connects through the proxy of the environment, or straight when there is none,
 * sends each line of its input as a message and waits for the answer. `binary N` sends N bytes, `raw HEX` puts these bytes on the wire as they are.
 */
import { request } from "node:http";
import { connect as connectPlain, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { connect } from "node:tls";
import WebSocket from "ws";

const [target = "", ...protocols] = process.argv.slice(2);
const url = new URL(target);
const secure = url.protocol === "wss:";
const port = url.port === "" ? (secure ? "443" : "80") : url.port;
const proxy = process.env["https_proxy"];

if (proxy === undefined) {
  talk(secure ? connect({ host: url.hostname, port: Number(port), servername: url.hostname }) : connectPlain(Number(port), url.hostname));
} else {
  const { hostname, port: proxyPort } = new URL(proxy);
  const path = `${url.hostname}:${port}`;
  request({ host: hostname, port: proxyPort, method: "CONNECT", path, headers: { host: path } })
    .on("connect", (_answer, socket) => talk(secure ? connect({ socket, servername: url.hostname }) : socket))
    .end();
}

function talk(socket: Socket): void {
  const client = new WebSocket(target, protocols, { createConnection: () => socket, maxPayload: 1 << 26 });
  let answered: () => void = () => {};
  client.on("message", (data: Buffer, binary) => {
    console.log(`got ${binary ? `binary ${data.length}` : data.toString().slice(0, 200)}`);
    answered();
  });
  client.on("unexpected-response", (_, response) => {
    let body = "";
    response.on("data", (chunk: Buffer) => {
      body += chunk.toString();
    });
    response.on("end", () => {
      console.log(`refused ${response.statusCode} ${body.trim()}`);
      process.exit(0);
    });
  });
  client.on("close", (code, reason) => {
    console.log(`close ${code} ${reason.toString()}`);
    process.exit(0);
  });
  client.on("error", (error) => console.log(`error ${error.message}`));
  client.on("open", async () => {
    console.log(`open ${client.protocol}${client.extensions}`);
    for await (const line of createInterface({ input: process.stdin })) {
      const [word, value = ""] = line.split(" ");
      const next = new Promise<void>((resolve) => {
        answered = resolve;
      });
      if (word === "binary") client.send(Buffer.alloc(Number(value), 7));
      else if (word === "raw") socket.write(Buffer.from(value, "hex"));
      else client.send(line);
      await next;
    }
    client.close(1000, "done");
  });
}
