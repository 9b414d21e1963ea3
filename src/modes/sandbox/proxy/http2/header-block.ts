import { ConnectionError, ErrorCode } from "./errors.ts";

/**
 * Frames of one header block. Nobody needs more than a few; without a limit, empty ones go on for ever (threat 34).
 */
export const MAX_BLOCK_FRAMES = 32;
/** A coded block; lists are limited once more when they are decoded. Decoded, it may be larger or smaller. */
const MAX_BLOCK_BYTES = 65_536;

/** A header block while its frames arrive. */
export class HeaderBlock {
  readonly stream: number;
  readonly endStream: boolean;
  readonly #fragments: Buffer[] = [];
  #frames = 0;
  #bytes = 0;

  constructor(stream: number, endStream: boolean) {
    this.stream = stream;
    this.endStream = endStream;
  }

  add(fragment: Buffer): void {
    this.#frames++;
    this.#bytes += fragment.length;
    if (this.#frames > MAX_BLOCK_FRAMES)
      throw new ConnectionError(ErrorCode.enhanceYourCalm, `header block of more than ${MAX_BLOCK_FRAMES} frames`);
    if (this.#bytes > MAX_BLOCK_BYTES)
      throw new ConnectionError(ErrorCode.enhanceYourCalm, `header block larger than ${MAX_BLOCK_BYTES} bytes`);
    if (fragment.length > 0) this.#fragments.push(Buffer.from(fragment));
  }

  whole(): Buffer {
    return Buffer.concat(this.#fragments);
  }
}
