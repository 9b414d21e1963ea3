// A server of Node (llhttp) that tells how it reads: a line of JSON for each head, and one for the end of each body.
// Arguments: port, "strict" or "lenient". Ends with its input.
import { createServer } from "node:http";

const [port, mode] = process.argv.slice(2);
const tell = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
let count = 0;
const read = (request, response) => {
  const id = count++;
  const hosts = request.rawHeaders.filter((_, at) => at % 2 === 1 && request.rawHeaders[at - 1].toLowerCase() === "host");
  tell({ id, client: request.socket.remoteAddress, method: request.method, target: request.url, host: hosts.join("|") });
  request.on("data", (piece) => tell({ id, body: piece.toString("latin1") }));
  request.on("end", () => {
    tell({ id, end: true });
    response.end();
  });
};
const limits = { keepAliveTimeout: 1000, headersTimeout: 2000, requestTimeout: 2000, connectionsCheckingInterval: 200 };
const server = createServer({ insecureHTTPParser: mode === "lenient", ...limits }, read);
server.on("checkExpectation", read);
server.maxConnections = 100_000;
server.listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 }, () => tell({ listening: true }));
process.stdin.on("data", (text) => tell({ echo: String(text).trim() }));
process.stdin.on("end", () => process.exit(0));
