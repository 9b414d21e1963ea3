/** The server behind a proxy under comparison: takes down what the proxy made of each request, and answers 200. */
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { originOf, type ReadRequest } from "./reading.ts";

/** Added by the proxy: the address of its client. */
export const CLIENT_FIELD = "x-case-client";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

interface Recorded {
  method: string;
  target: string;
  host: string;
  body: string;
  complete: boolean;
}

export class Recorder implements AsyncDisposable {
  /** By the address of the proxy's client. */
  readonly requests: Map<string, ReadRequest[]> = new Map();
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (socket) => this.#serve(socket));
  }

  static async open(): Promise<Recorder> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, resolve));
    return new Recorder(server);
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    let pending = "";
    let current: { readonly recorded: Recorded; readonly left: () => string | undefined } | undefined;
    socket.on("data", (bytes) => {
      pending += bytes.toString("latin1");
      for (;;) {
        if (current === undefined) {
          const end = pending.indexOf("\r\n\r\n");
          if (end < 0) return;
          const head = pending.slice(0, end);
          pending = pending.slice(end + 4);
          const recorded = this.#record(head);
          current = { recorded, left: bodyReader(head, recorded, () => pending) };
        }
        const rest = current.left();
        if (rest === undefined) return;
        pending = rest;
        current.recorded.complete = true;
        current = undefined;
        socket.write(OK);
      }
    });
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
  }

  #record(head: string): Recorded {
    const [line = "", ...lines] = head.split("\r\n");
    const words = line.split(" ");
    const client = valuesOf(lines, CLIENT_FIELD).at(-1) ?? "";
    const method = words[0] ?? "";
    const recorded = {
      method,
      ...originOf(method, words.slice(1, -1).join(" "), valuesOf(lines, "host").join("|")),
      body: "",
      complete: false,
    };
    this.requests.set(client, [...(this.requests.get(client) ?? []), recorded]);
    return recorded;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function valuesOf(lines: readonly string[], name: string): string[] {
  return lines
    .filter((line) => line.slice(0, line.indexOf(":")).toLowerCase() === name)
    .map((line) => line.slice(line.indexOf(":") + 1).trim());
}

/** Looks at what is pending until the body ends: what is behind it, or undefined. Proxies write their framing plainly. */
function bodyReader(head: string, recorded: Recorded, pending: () => string): () => string | undefined {
  const lines = head.split("\r\n").slice(1);
  if (valuesOf(lines, "transfer-encoding").length === 0) {
    const length = Number(valuesOf(lines, "content-length")[0] ?? 0);
    return () => {
      recorded.body = pending().slice(0, length);
      return pending().length >= length ? pending().slice(length) : undefined;
    };
  }
  return () => {
    let rest = pending();
    recorded.body = "";
    for (;;) {
      const size = /^([0-9a-f]+)[^\r\n]*\r\n/i.exec(rest);
      if (size === null) return undefined;
      const length = Number.parseInt(size[1] ?? "", 16);
      rest = rest.slice(size[0].length);
      if (length === 0) {
        const end = rest.startsWith("\r\n") ? 2 : rest.indexOf("\r\n\r\n") + 4;
        return end >= 4 || rest.startsWith("\r\n") ? rest.slice(end) : undefined;
      }
      recorded.body += rest.slice(0, length);
      if (rest.length < length + 2) return undefined;
      rest = rest.slice(length + 2);
    }
  };
}
