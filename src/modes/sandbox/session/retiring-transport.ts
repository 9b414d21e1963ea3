import type { StreamResponse, Transport } from "@connectrpc/connect";

/**
 * A transport that can be retired: `close` is called when it is and no call of it runs any more. Without that, whoever takes a new connection
 * after a bad moment leaves the old one open, and a gateway that is slow for a while would be given more and more of them.
 */
export function retiringTransport(inner: Transport, close: () => void): { readonly transport: Transport; retire(): void } {
  let running = 0;
  let retired = false;
  /** Begins a call; what it returns ends it, however often it is called. A stream whose caller has gone is ended by its signal alone. */
  const begin = (signal: AbortSignal | undefined): (() => void) => {
    let over = false;
    running++;
    const ended = (): void => {
      if (over) return;
      over = true;
      signal?.removeEventListener("abort", ended);
      running--;
      if (retired && running === 0) close();
    };
    signal?.addEventListener("abort", ended, { once: true });
    return ended;
  };
  const transport: Transport = {
    async unary(...call) {
      const ended = begin(call[1]);
      try {
        return await inner.unary(...call);
      } finally {
        ended();
      }
    },
    async stream(...call) {
      const ended = begin(call[1]);
      try {
        const response = await inner.stream(...call);
        return { ...response, message: until(response.message, ended) } as StreamResponse<
          (typeof call)[0]["input"],
          (typeof call)[0]["output"]
        >;
      } catch (error) {
        ended();
        throw error;
      }
    },
  };
  return {
    transport,
    retire() {
      if (retired) return;
      retired = true;
      if (running === 0) close();
    },
  };
}

async function* until<T>(messages: AsyncIterable<T>, ended: () => void): AsyncGenerator<T> {
  const iterator = messages[Symbol.asyncIterator]();
  try {
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value;
  } finally {
    ended();
    // Not awaited: what its caller has left may have no end of its own.
    void iterator.return?.().catch(() => {});
  }
}
