import type { Protocol } from "../../../inference/protocols.ts";
import type { BodyMask } from "../credentials/mask.ts";
import { giveBack } from "../proxy/give-back.ts";
import { IDLE_MS, MAX_ANSWER_BYTES } from "./limits.ts";
import type { AnswerSource } from "./received-body.ts";
import type { UsageReader } from "./usage.ts";

/** How an answer ended; `problem` is for people. */
export interface AnswerEnd {
  readonly bytes: number;
  readonly problem?: string;
  readonly code?: "inference_answer_size" | "inference_idle" | "inference_broken" | "client_gone";
}

export interface AnswerPlan {
  readonly protocol: Protocol;
  /** `text/event-stream`: a fault can still be told at the end of it. */
  readonly streamed: boolean;
  readonly usage: UsageReader;
  /** Replaces the credential, should the provider repeat it. */
  readonly mask: BodyMask | undefined;
  readonly ended: (end: AnswerEnd) => void;
  /** The program has gone away, perhaps before it read anything. */
  readonly gone: AbortSignal;
  readonly limits?: { readonly bytes: number; readonly idleMs: number };
}

/** Passes an answer on as it comes, piece by piece, as fast as the program reads it; nothing is collected. Going away cancels the source. */
export function passAnswer(reader: AnswerSource, plan: AnswerPlan): ReadableStream<Uint8Array> {
  const { bytes: maxBytes, idleMs } = plan.limits ?? { bytes: MAX_ANSWER_BYTES, idleMs: IDLE_MS };
  let bytes = 0;
  let over = false;
  const end = (result: Omit<AnswerEnd, "bytes">) => {
    if (over) return;
    over = true;
    plan.ended({ bytes, ...result });
  };
  const fail = (controller: ReadableStreamDefaultController<Uint8Array>, code: NonNullable<AnswerEnd["code"]>, problem: string) => {
    void reader.cancel().catch(() => {});
    end({ code, problem });
    if (plan.streamed) {
      controller.enqueue(new TextEncoder().encode(errorEvent(plan.protocol, problem)));
      controller.close();
    } else {
      // An answer that looked complete would be taken for complete.
      controller.error(new Error(problem));
    }
  };
  const leave = () => {
    end({ code: "client_gone", problem: "the program went away" });
    return reader.cancel().catch(() => {});
  };
  if (plan.gone.aborted) void leave();
  else plan.gone.addEventListener("abort", () => void leave(), { once: true });
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        // A piece may leave nothing to pass on, when all of it is held back by the mask.
        for (;;) {
          const piece = await next(reader, idleMs);
          if (over) return;
          if (piece.kind === "idle") return fail(controller, "inference_idle", `the model was silent for ${idleMs / 1000} s`);
          if (piece.kind === "broken") return fail(controller, "inference_broken", "the connection to the model broke");
          if (piece.kind === "done") {
            const rest = plan.mask?.take(Buffer.alloc(0), true);
            if (rest !== undefined && rest.length > 0) controller.enqueue(rest);
            end({});
            controller.close();
            return;
          }
          bytes += piece.bytes.length;
          if (bytes > maxBytes) return fail(controller, "inference_answer_size", `the answer is larger than ${maxBytes} bytes`);
          plan.usage.take(piece.bytes);
          if (plan.mask === undefined) {
            controller.enqueue(piece.bytes);
            return;
          }
          const passed = plan.mask.take(Buffer.from(piece.bytes.buffer, piece.bytes.byteOffset, piece.bytes.length), false);
          // The mask has made a copy.
          giveBack(piece.bytes);
          if (passed.length === 0) continue;
          controller.enqueue(passed);
          return;
        }
      },
      cancel: leave,
    },
    // Nothing is read in advance: what waits for a slow program waits in one place.
    { highWaterMark: 0 },
  );
}

type Piece =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "done" }
  | { readonly kind: "idle" }
  | { readonly kind: "broken" };

async function next(reader: AnswerSource, idleMs: number): Promise<Piece> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<Piece>((resolve) => {
    timer = setTimeout(() => resolve({ kind: "idle" }), idleMs);
  });
  const reading = reader.read().then(
    ({ value }): Piece => (value === undefined ? { kind: "done" } : { kind: "bytes", bytes: value }),
    (): Piece => ({ kind: "broken" }),
  );
  const piece = await Promise.race([reading, silence]);
  clearTimeout(timer);
  return piece;
}

/** The form in which clients of a protocol expect a fault in the middle of a stream. */
function errorEvent(protocol: Protocol, message: string): string {
  const error = { type: "api_error", code: "inference_stream", message };
  const data = JSON.stringify(protocol === "anthropic_messages" ? { type: "error", error } : { error });
  // A blank line first: the stream may have ended in the middle of an event.
  return `\n\n${protocol === "anthropic_messages" ? "event: error\n" : ""}data: ${data}\n\n`;
}
