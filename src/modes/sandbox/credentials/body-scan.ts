import { HeadError } from "../proxy/http1/refused.ts";
import type { RequestBodyFilter } from "../proxy/inspect/ruling.ts";
import { ALIAS_MARK, PLACEHOLDER_PREFIX } from "./model.ts";

const MARKS = [PLACEHOLDER_PREFIX, ALIAS_MARK].map((mark) => Buffer.from(mark));
/** Of a mark that two pieces share, so much at most is in either. */
const SEAM = Math.max(...MARKS.map(({ length }) => length)) - 1;

const isMarked = (bytes: Buffer) => MARKS.some((mark) => bytes.includes(mark));

/** What is said of a body with a placeholder that is not replaced there. */
export const PLACEHOLDER_LEFT = "a placeholder stands in a body of a type in which none is replaced";

/** Whether a whole body has a placeholder, as it is written. */
export function hasPlaceholderLeft(body: Buffer): boolean {
  return isMarked(body);
}

/**
 * Looks for placeholders in a body that passes as it is, where others have theirs replaced: the program means its secret to be sent, and the server would
 * get what stands for it. Keeps a few bytes; the body ends before the piece with the placeholder, or with the rest of it.
 */
export class BodyScan implements RequestBodyFilter {
  #end: Buffer = Buffer.alloc(0);

  body(piece: Buffer, _last: boolean): Buffer {
    const seam = Buffer.concat([this.#end, piece.subarray(0, SEAM)]);
    if (isMarked(seam) || isMarked(piece)) throw new HeadError(403, "credential_body", PLACEHOLDER_LEFT);
    this.#end = Buffer.from(piece.length >= SEAM ? piece.subarray(-SEAM) : seam.subarray(-SEAM));
    return piece;
  }

  drop(): void {
    this.#end = Buffer.alloc(0);
  }
}
