import { Code, ConnectError, type StreamResponse, type Transport } from "@connectrpc/connect";
import { Ending } from "../../../rpc/ending.ts";

/**
 * A transport whose calls end with their connection. Bun's HTTP/2 client can end a cut stream as if it were complete, and then the answer's
 * trailers are awaited for ever, whatever the call's signal says. So every wait is raced with the signal and with `lost`, which settles when
 * the connection is known to be gone.
 */
export function endingTransport(inner: Transport, lost: Promise<void>): Transport {
  const ending = (signal: AbortSignal | undefined): Promise<never> & Disposable => {
    const { promise, reject } = Promise.withResolvers<never>();
    const abort = (): void => reject(new ConnectError("the call was given up", Code.Canceled));
    promise.catch(() => {}); // whoever waits for it is told; nobody may be waiting
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
    void lost.then(() => reject(new ConnectError("the connection to the gateway ended", Code.Unavailable)));
    return Object.assign(promise, { [Symbol.dispose]: () => signal?.removeEventListener("abort", abort) });
  };
  return {
    async unary(method, signal, timeoutMs, header, input, contextValues) {
      using ended = ending(signal);
      return await Promise.race([inner.unary(method, signal, timeoutMs, header, input, contextValues), ended]);
    },
    async stream(method, signal, timeoutMs, header, input, contextValues) {
      const ended = ending(signal);
      const response = await Promise.race([inner.stream(method, signal, timeoutMs, header, input, contextValues), ended]);
      return { ...response, message: until(response.message, ended) } as StreamResponse<typeof method.input, typeof method.output>;
    },
  };
}

/** The messages of a stream; fails as soon as `ended` does. */
async function* until<T>(messages: AsyncIterable<T>, ended: Promise<never> & Disposable): AsyncGenerator<T> {
  const iterator = messages[Symbol.asyncIterator]();
  const ending = new Ending<never>(ended);
  try {
    for (;;) {
      const next = await ending.race(iterator.next());
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    ended[Symbol.dispose]();
  }
}
