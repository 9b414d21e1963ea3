/** One response head. Node and curl accept 16–100 KiB; a server that sends more is not answering a request. */
export const MAX_RESPONSE_HEAD_BYTES = 65_536;

const CONNECTION_FIELD = /^(?:connection|keep-alive|proxy-connection|upgrade):/i;

/**
 * Rewrites the head of the one response on a forwarded connection to `Connection: close`, so that the client does not send a second
 * request here; everything behind the head passes unchanged. Interim (1xx) heads pass before it.
 */
export class ResponseHead {
  /** Why the response is refused: not HTTP/1, or a head too large. */
  problem: string | undefined;
  #pending: Buffer | undefined;

  /** Bytes for the client; undefined while the head is incomplete. `done` becomes true when the final head has passed. */
  take(bytes: Buffer): { readonly output: Buffer; readonly done: boolean } | undefined {
    const all = this.#pending === undefined ? bytes : Buffer.concat([this.#pending, bytes]);
    this.#pending = undefined;
    const parts: Buffer[] = [];
    let at = 0;
    for (;;) {
      const end = all.indexOf("\r\n\r\n", at);
      if (end < 0) break;
      const head = all.toString("latin1", at, end);
      const status = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(head.slice(0, 16))?.[1];
      if (status === undefined || status === "101") {
        this.problem = status === undefined ? "the server does not speak HTTP/1" : "the server switched protocols without being asked";
        return undefined;
      }
      at = end + 4;
      if (status.startsWith("1")) {
        parts.push(Buffer.from(`${head}\r\n\r\n`, "latin1"));
        continue;
      }
      parts.push(closing(head), all.subarray(at));
      return { output: Buffer.concat(parts), done: true };
    }
    this.#pending = all.subarray(at);
    if (this.#pending.length > MAX_RESPONSE_HEAD_BYTES) this.problem = `response head is larger than ${MAX_RESPONSE_HEAD_BYTES} bytes`;
    return parts.length === 0 ? undefined : { output: Buffer.concat(parts), done: false };
  }
}

function closing(head: string): Buffer {
  const kept = head.split("\r\n").filter((line) => !CONNECTION_FIELD.test(line));
  return Buffer.from(`${kept.join("\r\n")}\r\nConnection: close\r\n\r\n`, "latin1");
}
