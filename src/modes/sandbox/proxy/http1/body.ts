import type { BodyFraming } from "./framing.ts";
import { requestTrailerProblem } from "./trailers.ts";

/** The longest chunk-size line: 15 hexadecimal digits are more than any body has. */
const MAX_SIZE_DIGITS = 15;
/** All trailer fields of one body, as for a head. */
const MAX_TRAILER_BYTES = 8192;

/** Extensions of one chunk of a response; nobody sends more than a few bytes. */
const MAX_EXTENSION_BYTES = 1024;

const SPACE = 32;
const SEMICOLON = 59;
const CR = 13;
const LF = 10;

/** A response without a length: everything until the connection ends. */
export interface UntilClose {
  readonly kind: "close";
}

type ChunkState = "size" | "extension" | "size-lf" | "data" | "data-cr" | "data-lf" | "trailer" | "done";

/**
 * Finds the end of a request body. Bytes pass unchanged; `take` says how many of them belong to the body, so that nothing behind it is
 * ever sent. Lines that do not end in CRLF are refused, and in requests chunk extensions, because servers read them differently.
 */
export class BodyReader {
  /** Why the body is refused; nothing more may be forwarded once set. */
  problem: string | undefined;
  #left: number;
  #state: ChunkState | "length" | "close";
  readonly #extensions: "refused" | "ignored";
  #extensionBytes = 0;
  #digits = "";
  #trailer = "";

  constructor(framing: BodyFraming | UntilClose, extensions: "refused" | "ignored" = "refused") {
    this.#left = framing.kind === "length" ? framing.length : 0;
    this.#extensions = extensions;
    if (framing.kind === "chunked") this.#state = "size";
    else if (framing.kind === "close") this.#state = "close";
    else this.#state = this.#left > 0 ? "length" : "done";
  }

  /** The body is complete. */
  get done(): boolean {
    return this.#state === "done";
  }

  /** Only the end of the connection ends the body. */
  get untilClose(): boolean {
    return this.#state === "close";
  }

  /** Trailer fields as they came, a line each with its CRLF; complete when the body is. */
  get trailer(): string {
    return this.#trailer.endsWith("\r\n") ? this.#trailer.slice(0, -2) : "";
  }

  /**
   * How many bytes at the start of `bytes` belong to the body; the rest is not part of this request.
   * @param content gets the bytes of the body without its framing
   */
  take(bytes: Buffer, content?: (bytes: Buffer) => void): number {
    if (this.#state === "close") {
      content?.(bytes);
      return bytes.length;
    }
    let at = 0;
    while (at < bytes.length && this.#state !== "done" && this.problem === undefined) {
      if (this.#state === "length" || this.#state === "data") {
        const size = this.#skip(bytes.length - at);
        content?.(bytes.subarray(at, at + size));
        at += size;
      } else {
        this.problem = this.#step(bytes[at++] ?? 0);
      }
    }
    return at;
  }

  #skip(available: number): number {
    const size = Math.min(this.#left, available);
    this.#left -= size;
    if (this.#left === 0) this.#state = this.#state === "length" ? "done" : "data-cr";
    return size;
  }

  /** One byte of framing; gives what is wrong with it. */
  #step(byte: number): string | undefined {
    switch (this.#state) {
      case "size":
        return this.#size(byte);
      case "extension":
        if (byte === CR) this.#state = "size-lf";
        else if (byte === LF || ++this.#extensionBytes > MAX_EXTENSION_BYTES) return "chunk extension is not valid";
        return undefined;
      case "size-lf":
        if (byte !== LF) return "chunk size line does not end in CRLF";
        this.#left = Number.parseInt(this.#digits, 16);
        this.#digits = "";
        this.#extensionBytes = 0;
        this.#state = this.#left === 0 ? "trailer" : "data";
        return undefined;
      case "data-cr":
        if (byte !== CR) return "chunk does not end in CRLF";
        this.#state = "data-lf";
        return undefined;
      case "data-lf":
        if (byte !== LF) return "chunk does not end in CRLF";
        this.#state = "size";
        return undefined;
      default:
        return this.#trailerByte(byte);
    }
  }

  #size(byte: number): string | undefined {
    const isDigit = (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 70) || (byte >= 97 && byte <= 102);
    if (isDigit && this.#digits.length < MAX_SIZE_DIGITS) {
      this.#digits += String.fromCharCode(byte);
    } else if (byte === CR && this.#digits !== "") {
      this.#state = "size-lf";
    } else if (this.#extensions === "ignored" && this.#digits !== "" && (byte === SEMICOLON || byte === SPACE)) {
      this.#state = "extension";
    } else {
      return isDigit ? "chunk size too large" : "chunk size is not a hexadecimal number alone";
    }
    return undefined;
  }

  /** Trailer fields may follow the last chunk; an empty line ends the body. */
  #trailerByte(byte: number): string | undefined {
    this.#trailer += String.fromCharCode(byte);
    if (this.#trailer.length > MAX_TRAILER_BYTES) return `trailer larger than ${MAX_TRAILER_BYTES} bytes`;
    if (byte !== LF) return undefined;
    if (!this.#trailer.endsWith("\r\n")) return "trailer line does not end in CRLF";
    const line = this.#trailer.slice(this.#trailer.lastIndexOf("\n", this.#trailer.length - 2) + 1, -2);
    if (line === "") {
      this.#state = "done";
      return undefined;
    }
    if (!TRAILER_LINE.test(line) || FRAMING_FIELD.test(line)) return "trailer field is not valid";
    const colon = line.indexOf(":");
    return this.#extensions === "refused" ? requestTrailerProblem(line.slice(0, colon).toLowerCase(), line.slice(colon + 1)) : undefined;
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control bytes are what is looked for
const TRAILER_LINE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\x00-\x08\x0a-\x1f\x7f]*$/;
const FRAMING_FIELD = /^(?:content-length|transfer-encoding|host):/i;
