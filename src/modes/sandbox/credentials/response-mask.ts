import { HeadError } from "../proxy/http1/refused.ts";
import type { ResponseFilter } from "../proxy/inspect/ruling.ts";
import type { Mask } from "./mask.ts";

/**
 * Hides secrets in one answer: in heads and trailers always, in the body when asked. A masked body that comes encoded although it was asked for
 * plain cannot be read, so it is refused.
 */
export function maskingFilter(mask: Mask, bodies: boolean): ResponseFilter {
  if (!bodies) return { head: (_, fields) => mask.fields(fields) };
  const body = mask.body();
  let started = false;
  return {
    head(status, fields) {
      const encoded = fields.some(({ lower, value }) => lower === "content-encoding" && value.toLowerCase() !== "identity");
      // What comes behind the body says nothing of it any more.
      const first = status >= 200 && !started;
      if (first) started = true;
      if (first && encoded)
        throw new HeadError(400, "content_encoding", "the body is encoded, so that it cannot be masked as the policy says");
      return mask.fields(fields);
    },
    body: (chunk, last) => body.take(chunk, last),
  };
}
