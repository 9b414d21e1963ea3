import { createHash } from "node:crypto";
import { type DescMessage, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { sizeDelimitedDecodeStream, sizeDelimitedEncode } from "@bufbuild/protobuf/wire";
import type { HandlerContext } from "@connectrpc/connect";
import { OpenShellError } from "../../../error.ts";
import { principalKey } from "../auth/principal.ts";
import type { Store } from "../store/database.ts";
import type { RequestIdRepository } from "../store/request-ids.ts";

type Request = Message & { readonly requestId: string };

/** A command's answer that is longer is not kept: the same request is then not run again, and hears that. Bytes. */
const MAX_KEPT_STREAM = 256 * 1024;

/** At-most-once by `request_id`: the same id with the same payload within a day answers what the first call answered. */
export interface Replay {
  /** Runs a synchronous change and remembers its answer in one transaction. */
  once<O extends Message>(request: Request, context: HandlerContext, run: () => O): O;
  /**
   * Runs a change that takes time; a second call meanwhile waits for the first. `run` calls `remember` in the transaction that makes
   * the change certain; what it did not remember is remembered when it returns, and forgotten when it throws.
   */
  later<O extends Message>(request: Request, context: HandlerContext, run: (remember: (answer: O) => void) => Promise<O>): Promise<O>;
  /** The same for an answer that is a stream, which is remembered when it has ended, unless it is long. */
  streamed<O extends Message>(request: Request, context: HandlerContext, run: () => AsyncIterable<O>): AsyncIterable<O>;
}

/** `digestOf` names a request that is kept to be compared; one with a key where requests may hold secrets. */
export function replay(
  store: Store,
  answered: RequestIdRepository,
  clock: { now(): number },
  digestOf: (bytes: Uint8Array) => string = (bytes) => createHash("sha256").update(bytes).digest("hex"),
): Replay {
  const key = keyWith(digestOf);
  const running = new Map<string, { readonly key: Key; readonly answer: Promise<unknown> }>(); // by request id

  const find = <O>(request: Request, context: HandlerContext): O | undefined => {
    const before = answered.find(idOf(request), clock.now());
    if (before === undefined) return undefined;
    requireSame(before, key(request, context));
    return fromBinary(context.method.output as DescMessage, before.response) as O;
  };
  const record = (request: Request, context: HandlerContext, response: Message): void =>
    answered.record(idOf(request), { ...key(request, context), response: toBinary(context.method.output, response) }, clock.now());

  return {
    once: (request, context, run) =>
      store.transaction(() => {
        if (request.requestId === "") return run();
        const before = find<ReturnType<typeof run>>(request, context);
        if (before !== undefined) return before;
        const response = run();
        record(request, context, response);
        return response;
      }),
    async later<O extends Message>(request: Request, context: HandlerContext, run: (remember: (answer: O) => void) => Promise<O>) {
      if (request.requestId === "") return await run(() => {});
      const own = key(request, context);
      const id = idOf(request);
      // Who joins a running call must not read the answer that it has remembered before it is true.
      const meanwhile = running.get(id);
      if (meanwhile !== undefined) {
        requireSame(meanwhile.key, own);
        return (await meanwhile.answer) as O;
      }
      const before = find<O>(request, context);
      if (before !== undefined) return before;
      let remembered = false;
      const remember = (answer: O): void => {
        remembered = true;
        record(request, context, answer);
      };
      const call = run(remember).then(
        (answer) => {
          if (!remembered) record(request, context, answer);
          return answer;
        },
        (error) => {
          if (remembered) answered.forget(id);
          throw error;
        },
      );
      running.set(id, { key: own, answer: call });
      return await call.finally(() => running.delete(id));
    },
    async *streamed<O extends Message>(request: Request, context: HandlerContext, run: () => AsyncIterable<O>) {
      if (request.requestId === "") return yield* run();
      const id = idOf(request);
      const own = key(request, context);
      const { output } = context.method;
      const before = answered.find(id, clock.now());
      if (before !== undefined) {
        requireSame(before, own);
        if (before.response.length === 0) throw answerGone();
        for await (const message of sizeDelimitedDecodeStream(output as DescMessage, pieces(before.response))) yield message as O;
        return;
      }
      // Before it runs: what was begun and never ended is not run again either.
      answered.record(id, { ...own, response: new Uint8Array() }, clock.now());
      const kept: Uint8Array[] = [];
      let size = 0;
      for await (const message of run()) {
        if (size <= MAX_KEPT_STREAM) kept.push(sizeDelimitedEncode(output, message));
        size += kept.at(-1)?.length ?? 0;
        yield message;
      }
      if (size <= MAX_KEPT_STREAM) answered.record(id, { ...own, response: Buffer.concat(kept) }, clock.now());
    },
  };
}

type Key = { readonly method: string; readonly caller: string; readonly digest: string };

const keyWith =
  (digestOf: (bytes: Uint8Array) => string) =>
  (request: Request, context: HandlerContext): Key => {
    const principal = context.values.get(principalKey);
    const caller =
      principal.kind === "user" ? `user:${principal.subject}` : principal.kind === "sandbox" ? `sandbox:${principal.sandboxId}` : "none";
    const same = { ...request, requestId: request.requestId.toLowerCase() };
    return { method: context.method.name, caller, digest: digestOf(toBinary(context.method.input, same)) };
  };

function requireSame(before: Key, { method, caller, digest }: Key): void {
  if (before.method === method && before.caller === caller && before.digest === digest) return;
  throw invalid("request_id was used for another request within the last 24 hours");
}

/** The id of a request, in one spelling. */
function idOf({ requestId }: Request): string {
  const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
  if (!uuid.test(requestId) || /^[0-]+$/.test(requestId)) throw invalid("request_id must be a UUID other than zero");
  return requestId.toLowerCase();
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function answerGone(): OpenShellError {
  return new OpenShellError(
    "failed_precondition",
    "this request was made before; its answer has not ended, was given up, or is too long to be kept",
    {
      next: "to run it once more, send another request_id",
    },
  );
}

function invalid(message: string): OpenShellError {
  return new OpenShellError("invalid_argument", message, { violations: [{ field: "request_id", message }] });
}
