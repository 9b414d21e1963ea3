import type { Http2Stream } from "./stream.ts";

/** How a stream ended: both sides said so, the peer reset it, we did. */
export type Ended = "ended" | "peer" | "us";

/** Streams whose end is remembered, to tell late frames from wrong ones. */
const REMEMBERED = 256;

/** The streams of one connection: those that are open, how the latest others ended, and which were never opened. */
export class StreamTable {
  /** The highest stream of the peer (server) or of ours (client). */
  last = 0;
  readonly #open = new Map<number, Http2Stream>();
  readonly #ended = new Map<number, Ended>();

  get size(): number {
    return this.#open.size;
  }

  get(id: number): Http2Stream | undefined {
    return this.#open.get(id);
  }

  /** Those that are open now; what is opened or ended meanwhile changes nothing. */
  all(): Http2Stream[] {
    return [...this.#open.values()];
  }

  add(stream: Http2Stream): void {
    this.#open.set(stream.id, stream);
  }

  delete(stream: Http2Stream): void {
    this.#open.delete(stream.id);
  }

  remember(id: number, how: Ended): void {
    this.#ended.set(id, how);
    if (this.#ended.size > REMEMBERED) this.#ended.delete(this.#ended.keys().next().value ?? id);
  }

  /** Undefined: it is open, was never opened, or ended long ago. */
  howEnded(id: number): Ended | undefined {
    return this.#ended.get(id);
  }

  /** Nobody has opened it (RFC 9113 section 5.1); we never let a server open one. */
  isIdle(id: number): boolean {
    return id % 2 === 0 || id > this.last;
  }
}
