import { Duplex } from "node:stream";
import { create } from "@bufbuild/protobuf";
import { AsyncQueue } from "../../../rpc/async-queue.ts";
import { type RelayFrame, RelayFrameSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { GatewayClient } from "../session/gateway-client.ts";

/** Bytes of one frame: what passing one on costs is nearly the same for any size. A gateway takes up to 1 MiB. */
const MAX_FRAME_BYTES = 256 * 1024;

/** Frames that the gateway has not taken yet, 1 MiB per relay; then whoever writes waits. */
const MAX_QUEUED_FRAMES = 4;

/**
 * A relay as a stream of bytes. An empty frame is the end of one direction: the two directions of a call end together, so that a half-close
 * has to travel as data. Destroying the stream ends the relay.
 */
export class RelayByteStream extends Duplex {
  readonly #outgoing = new AsyncQueue<RelayFrame>();
  readonly #incoming: AsyncIterator<RelayFrame>;
  readonly #abort = new AbortController();
  #reading = false;

  constructor(client: GatewayClient, channelId: string) {
    super({ allowHalfOpen: true, readableHighWaterMark: MAX_FRAME_BYTES, writableHighWaterMark: MAX_FRAME_BYTES });
    this.#outgoing.push(create(RelayFrameSchema, { payload: { case: "init", value: { channelId } } }));
    this.#incoming = client.relayStream(this.#outgoing, { signal: this.#abort.signal })[Symbol.asyncIterator]();
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    for (let at = 0; at < chunk.length; at += MAX_FRAME_BYTES) this.#send(chunk.subarray(at, at + MAX_FRAME_BYTES));
    this.#outgoing.below(MAX_QUEUED_FRAMES).then(() => done(), done);
  }

  /** What has gathered while the last frame was on its way goes as one. */
  override _writev(
    chunks: { readonly chunk: Uint8Array; readonly encoding: BufferEncoding }[],
    done: (error?: Error | null) => void,
  ): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "utf8", done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#send(new Uint8Array());
    done();
  }

  override _read(): void {
    if (this.#reading) return;
    this.#reading = true;
    void this.#pull().finally(() => {
      this.#reading = false;
    });
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#outgoing.close();
    // What is queued still goes out when both sides have said all; otherwise nobody waits for it.
    if (error !== null || !this.writableFinished) this.#abort.abort();
    done(error);
  }

  #send(value: Uint8Array): void {
    this.#outgoing.push(create(RelayFrameSchema, { payload: { case: "data", value } }));
  }

  async #pull(): Promise<void> {
    try {
      for (let more = true; more && !this.destroyed; ) {
        const next = await this.#incoming.next();
        if (next.done === true) {
          // The caller is gone: nothing that is written now would be read.
          this.push(null);
          this.#outgoing.close();
          return;
        }
        const { payload } = next.value;
        if (payload.case === "data") more = this.push(payload.value.length === 0 ? null : Buffer.from(payload.value));
      }
    } catch {
      this.destroy();
    }
  }
}
