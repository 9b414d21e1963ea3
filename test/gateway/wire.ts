/** Bytes to the gateway as no client library would send them: one HTTP/2 connection, and what came back. */
import { readFileSync } from "node:fs";
import { type ClientHttp2Session, connect, constants } from "node:http2";
import { join } from "node:path";
import type { GatewayHost } from "./host.ts";

export interface Came {
  /** HTTP status; 0 when the stream was reset. */
  readonly http: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly trailers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** A connection with the person's certificate, or with only a bearer token. */
export class Wire implements Disposable {
  readonly #session: ClientHttp2Session;
  readonly #metadata: Readonly<Record<string, string>>;

  constructor(host: GatewayHost, token?: string) {
    const mtls = join(host.directory, "config/openshell/gateways/openshell/mtls");
    const pem = (name: string) => readFileSync(join(mtls, name));
    const own = token === undefined ? { cert: pem("tls.crt"), key: pem("tls.key") } : {};
    this.#metadata = token === undefined ? {} : { authorization: `Bearer ${token}` };
    this.#session = connect(host.endpoint, { ca: pem("ca.crt"), servername: "localhost", ...own });
    this.#session.on("error", () => {});
  }

  /** Posts bytes, ends the request, and gives the whole answer; rejects when there is none within `timeoutMs`. */
  post(path: string, headers: Readonly<Record<string, string>>, body: Uint8Array, timeoutMs: number): Promise<Came> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({ ":method": "POST", ":path": path, te: "trailers", ...this.#metadata, ...headers });
      const late = setTimeout(() => {
        stream.close(constants.NGHTTP2_CANCEL);
        reject(new Error(`${path}: no answer within ${timeoutMs} ms`));
      }, timeoutMs);
      let http = 0;
      let head: Record<string, string> = {};
      let trailers: Record<string, string> = {};
      const pieces: Buffer[] = [];
      stream.on("response", (fields) => {
        http = Number(fields[":status"]);
        head = fields as Record<string, string>;
      });
      stream.on("trailers", (fields) => {
        trailers = fields as Record<string, string>;
      });
      stream.on("data", (piece: Buffer) => pieces.push(piece));
      stream.on("error", () => {});
      const done = () => {
        clearTimeout(late);
        resolve({ http, headers: head, trailers, body: Buffer.concat(pieces) });
        stream.close(constants.NGHTTP2_CANCEL);
      };
      stream.on("close", done);
      // An answer may come before all of the request was taken, which then never will be.
      stream.on("end", () => {
        if (!head["content-type"]?.startsWith("application/grpc") || head["grpc-status"] !== undefined) done();
      });
      stream.end(body);
    });
  }

  [Symbol.dispose](): void {
    this.#session.destroy();
  }
}

/** A message of gRPC, gRPC-Web and Connect's streams: flags, a length, and bytes that may be fewer or more. */
export function frame(bytes: Uint8Array, flags = 0, length = bytes.length): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, bytes]);
}
