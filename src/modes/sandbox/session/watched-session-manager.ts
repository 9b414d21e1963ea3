import type { Http2Session } from "node:http2";
import { Http2SessionManager } from "@connectrpc/connect-node";

/** An end that no event told is found out by a look, which costs an idle sandbox next to nothing. Milliseconds. */
const CONNECTION_CHECK = 5000;

/** A manager of one connection that says when it has ended, so that nobody has to ask several times a second. */
export class WatchedSessionManager extends Http2SessionManager {
  readonly #lost = Promise.withResolvers<void>();
  readonly #sessions = new WeakSet<Http2Session>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #opened = false;

  /** Settles when the connection was there, or could not be made, and is no more. */
  get lost(): Promise<void> {
    return this.#lost.promise;
  }

  override async request(...call: Parameters<Http2SessionManager["request"]>): ReturnType<Http2SessionManager["request"]> {
    try {
      const stream = await super.request(...call);
      this.#opened = true;
      this.#timer ??= this.#startLooking();
      if (stream.session !== undefined) this.#watch(stream.session);
      return stream;
    } catch (error) {
      this.#look();
      throw error;
    }
  }

  override abort(reason?: Error): void {
    super.abort(reason);
    this.#settle();
  }

  #watch(session: Http2Session): void {
    if (this.#sessions.has(session)) return;
    this.#sessions.add(session);
    // The manager hears of it by the same events, and its state is what counts.
    const look = (): void => void setImmediate(() => this.#look());
    session.once("close", look);
    session.once("error", look);
  }

  #startLooking(): ReturnType<typeof setInterval> {
    const timer = setInterval(() => this.#look(), CONNECTION_CHECK);
    timer.unref();
    return timer;
  }

  #look(): void {
    const state = this.state();
    if (state === "error" || (state === "closed" && this.#opened)) this.#settle();
  }

  #settle(): void {
    clearInterval(this.#timer);
    this.#lost.resolve();
  }
}
