/** An HTTP/2 client that sends whatever a test wants, and tells what it gets as lines. */
import type { TLSSocket } from "node:tls";
import { eventually } from "../../../../../test/eventually.ts";
import { ErrorCode } from "../http2/errors.ts";
import { Flag, FrameReader, FrameType, frame, headerFrames, PREFACE, settingsFrame } from "../http2/frames.ts";
import { HpackDecoder, type RawField } from "../http2/hpack-decoder.ts";
import { HpackEncoder } from "../http2/hpack-encoder.ts";

const CODES = new Map<number, string>(Object.entries(ErrorCode).map(([name, code]) => [code, name]));

export class RawHttp2 {
  readonly lines: string[] = [];
  ended = false;
  readonly #socket: TLSSocket;
  readonly #encoder = new HpackEncoder();
  readonly #decoder = new HpackDecoder({ soft: 1e6, hard: 1e6 });

  constructor(socket: TLSSocket) {
    this.#socket = socket;
    const reader = new FrameReader();
    socket.on("data", (bytes: Buffer) => reader.push(bytes, (received) => this.#read(received)));
    socket.on("error", () => {
      this.ended = true;
    });
    socket.on("close", () => {
      this.ended = true;
    });
  }

  begin(): this {
    return this.send(PREFACE, settingsFrame([]));
  }

  send(...bytes: readonly Uint8Array[]): this {
    this.#socket.write(Buffer.concat(bytes));
    return this;
  }

  /** A request on `stream`; `last`: without a body. */
  request(stream: number, fields: readonly RawField[], last = true): this {
    return this.send(headerFrames(stream, this.#encoder.encode(fields), last));
  }

  data(stream: number, text: string, last = true): this {
    return this.send(frame(FrameType.data, last ? Flag.endStream : 0, stream, Buffer.from(text)));
  }

  /** The first line that matches. */
  async sees(pattern: RegExp): Promise<string> {
    return await eventually(`a line like ${pattern} in ${JSON.stringify(this.lines)}`, 10_000, async () =>
      this.lines.find((line) => pattern.test(line)),
    );
  }

  async end(): Promise<void> {
    await eventually("the end of the connection", 10_000, async () => this.ended || undefined);
  }

  close(): void {
    this.#socket.destroy();
  }

  #read({ type, flags, stream, payload }: { type: number; flags: number; stream: number; payload: Buffer }): void {
    const end = (flags & Flag.endStream) !== 0 ? " end" : "";
    if (type === FrameType.headers)
      this.lines.push(
        `${stream} ${this.#decoder
          .decode(payload)
          .fields.map((field) => field.join("="))
          .join(" ")}${end}`,
      );
    else if (type === FrameType.data) this.lines.push(`${stream} data ${payload.toString()}${end}`);
    else if (type === FrameType.resetStream) this.lines.push(`${stream} reset ${CODES.get(payload.readUInt32BE(0))}`);
    else if (type === FrameType.goaway) this.lines.push(`goaway ${CODES.get(payload.readUInt32BE(4))}`);
  }
}
