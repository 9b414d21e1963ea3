/** A session without a socket: frames go in, and what comes out is told as lines. */
import { ErrorCode } from "./errors.ts";
import { FrameReader, FrameType, frame, PREFACE, settingsFrame } from "./frames.ts";
import { HpackDecoder, type RawField } from "./hpack-decoder.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import { Http2Session, type SessionHost } from "./session.ts";
import type { Http2Stream } from "./stream.ts";

const CODES = new Map<number, string>(Object.entries(ErrorCode).map(([name, code]) => [code, name]));
const TYPES = new Map<number, string>(Object.entries(FrameType).map(([name, type]) => [type, name]));

export const GET: readonly RawField[] = [
  [":method", "GET"],
  [":scheme", "https"],
  [":authority", "a.example"],
  [":path", "/"],
];

export class Stage implements SessionHost {
  readonly session: Http2Session;
  readonly encoder: HpackEncoder = new HpackEncoder();
  /** Streams that were opened here, or that we opened. */
  readonly streams: Http2Stream[] = [];
  /** What streams were told. */
  readonly told: string[] = [];
  writable = true;
  /** Milliseconds. */
  clock = 0;
  /** Bytes that were sent. */
  sent = 0;
  failure = "";
  /** Consume what arrives. */
  reads = true;
  #out: string[] = [];
  readonly #reader = new FrameReader();
  readonly #decoder = new HpackDecoder({ soft: 1e6, hard: 1e6 });
  readonly #role: "server" | "client";

  constructor(role: "server" | "client" = "server") {
    this.#role = role;
    this.session = new Http2Session(role, this, () => this.clock);
  }

  send(bytes: Buffer): void {
    this.sent += bytes.length;
    const rest = bytes.subarray(0, 3).toString() === "PRI" ? bytes.subarray(PREFACE.length) : bytes;
    this.#reader.push(rest, ({ type, flags, stream, payload }) => {
      const name = TYPES.get(type) ?? type;
      if (type === FrameType.goaway) this.#out.push(`goaway ${CODES.get(payload.readUInt32BE(4))}`);
      else if (type === FrameType.resetStream) this.#out.push(`reset ${stream} ${CODES.get(payload.readUInt32BE(0))}`);
      else if (type === FrameType.headers)
        this.#out.push(
          `headers ${stream} ${this.#decoder
            .decode(payload)
            .fields.map((field) => field.join("="))
            .join(" ")}${flags & 1 ? " end" : ""}`,
        );
      else if (type === FrameType.data) this.#out.push(`data ${stream} ${payload.length}${flags & 1 ? " end" : ""}`);
      else if (type === FrameType.windowUpdate) this.#out.push(`window ${stream} +${payload.readUInt32BE(0)}`);
      else this.#out.push(`${name}${flags & 1 ? " ack" : ""}`);
    });
  }
  opened(stream: Http2Stream): void {
    this.streams.push(stream);
    this.told.push(`opened ${stream.id}`);
    stream.events = this.listener(stream);
  }
  capacity(): void {}
  failed(_: number, reason: string): void {
    this.failure = reason;
  }
  listener(stream: { id: number; consume(size: number): void }) {
    return {
      block: (_: unknown, last: boolean) => void this.told.push(`block ${stream.id}${last ? " end" : ""}`),
      data: (bytes: Buffer, last: boolean) => {
        this.told.push(`data ${stream.id} ${bytes.length}${last ? " end" : ""}`);
        if (this.reads) stream.consume(bytes.length);
      },
      closed: (code: number) => void this.told.push(`closed ${stream.id} ${CODES.get(code)}`),
      progress: () => {},
      finished: () => void this.told.push(`finished ${stream.id}`),
    };
  }

  /** Preface and SETTINGS, and what is answered to them taken away. */
  begin(): this {
    this.receive(...(this.#role === "server" ? [PREFACE] : []), settingsFrame([]));
    this.did();
    return this;
  }
  /** A client's stream, opened by us. */
  request(last = true): Http2Stream {
    const listener = { id: 0, consume: (size: number) => stream?.consume(size) };
    const stream = this.session.request(GET, last, this.listener(listener));
    if (stream === undefined) throw new Error("no room");
    listener.id = stream.id;
    return stream;
  }
  receive(...bytes: readonly Uint8Array[]): this {
    for (const piece of bytes) {
      this.session.receive(Buffer.from(piece));
      while (this.session.interrupted) this.session.receive(Buffer.alloc(0));
      this.session.flush();
    }
    return this;
  }
  /** Frames that were sent since the last time. */
  did(): string[] {
    this.session.flush();
    const out = this.#out;
    this.#out = [];
    return out;
  }

  headers(stream: number, flags = 0x5, fields: readonly RawField[] = GET): Buffer {
    return frame(FrameType.headers, flags, stream, this.encoder.encode(fields));
  }
}
