import { type InferenceRefusal, tooLarge, unreadableBody } from "./answers.ts";
import { MAX_BODY_BYTES, MAX_HELD_BYTES } from "./limits.ts";
import { overrideModel } from "./model-override.ts";

/** Bytes of request bodies in memory, of one sandbox. */
export class HeldBytes {
  #bytes = 0;

  /** False: there is no room, and nothing was taken. */
  take(bytes: number): boolean {
    if (this.#bytes + bytes > MAX_HELD_BYTES) return false;
    this.#bytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#bytes -= bytes;
  }
}

const FULL: InferenceRefusal = {
  status: 429,
  error: "too much is being sent to models at once",
  code: "inference_held_bytes",
  detail: `bodies of all requests together hold at most ${MAX_HELD_BYTES} bytes`,
  retryAfter: 1,
};

/** A whole body, counted until it is disposed of; or why there is none. */
export type WholeBody = ({ readonly text: string } & Disposable) | { readonly refusal: InferenceRefusal };

/** Reads a request's body as UTF-8 text. */
export async function readBody(request: Request, held: HeldBytes): Promise<WholeBody> {
  if (request.headers.has("content-encoding")) return { refusal: unreadableBody("the body is compressed") };
  if (Number(request.headers.get("content-length") ?? 0) > MAX_BODY_BYTES) return { refusal: tooLarge(MAX_BODY_BYTES) };
  const pieces: Uint8Array[] = [];
  let size = 0;
  let kept = false;
  try {
    for await (const piece of request.body ?? []) {
      if (size + piece.length > MAX_BODY_BYTES) return { refusal: tooLarge(MAX_BODY_BYTES) };
      if (!held.take(piece.length)) return { refusal: FULL };
      size += piece.length;
      pieces.push(piece);
    }
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(pieces));
    kept = true;
    return { text, [Symbol.dispose]: () => held.release(size) };
  } catch {
    return { refusal: unreadableBody("the body is not UTF-8 text, or it ended early") };
  } finally {
    if (!kept) held.release(size);
  }
}

export type SentBody = { readonly text: string } | { readonly refusal: InferenceRefusal };

/** The body with the route's model in it. */
export function withModel(text: string, model: string): SentBody {
  const result = overrideModel(text, model);
  return "problem" in result ? { refusal: unreadableBody(result.problem) } : { text: result.body };
}

/** The body as it came, where the path names the model; read by the same rules. */
export function checked(text: string): SentBody {
  const result = overrideModel(text, "");
  return "problem" in result ? { refusal: unreadableBody(result.problem) } : { text };
}
