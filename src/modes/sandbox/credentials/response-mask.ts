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
  return {
    head(_, fields) {
      const coding = fields.find(({ lower, value }) => lower === "content-encoding" && value.toLowerCase() !== "identity");
      if (coding !== undefined)
        throw new HeadError(400, "content_encoding", "the body is encoded, so that it cannot be masked as the policy says");
      return mask.fields(fields);
    },
    body: (chunk, last) => body.take(chunk, last),
  };
}
