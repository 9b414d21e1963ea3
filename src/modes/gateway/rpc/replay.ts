import { createHash } from "node:crypto";
import { type DescMessage, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { sizeDelimitedDecodeStream, sizeDelimitedEncode } from "@bufbuild/protobuf/wire";
import type { HandlerContext } from "@connectrpc/connect";
import { OpenShellError } from "../../../error.ts";
import { principalKey } from "../auth/principal.ts";
import type { Store } from "../store/database.ts";
import type { RequestIdRepository } from "../store/request-ids.ts";
import type { KeptOutput } from "./kept-output.ts";

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
  /**
   * The same for a command in a sandbox, whose answer is a stream: that it was begun is remembered, what it wrote is kept in memory for a
   * while, unless it is long.
   */
  streamed<O extends Message>(
    request: Request,
    context: HandlerContext,
    sandboxId: string,
    run: (beginning: Beginning) => AsyncIterable<O>,
  ): AsyncIterable<O>;
}

/** What who runs a command tells of its beginning: what certainly did not begin may be asked for again. */
export interface Beginning {
  /** From here on it may have begun. */
  asked(): void;
  /** It did not. */
  refused(): void;
}

/** `digestOf` names a request that is kept to be compared; one with a key where requests may hold secrets. */
export function replay(
  store: Store,
  answered: RequestIdRepository,
  clock: { now(): number },
  output: KeptOutput,
  digestOf: (bytes: Uint8Array) => string = (bytes) => createHash("sha256").update(bytes).digest("hex"),
): Replay {
  const key = keyWith(digestOf);
  const running = new Map<string, { readonly key: Key; readonly answer: Promise<unknown> }>(); // by request id
  const commands = new Map<string, Key>(); // those that run, or wait for their sandbox

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
    async *streamed<O extends Message>(
      request: Request,
      context: HandlerContext,
      sandboxId: string,
      run: (beginning: Beginning) => AsyncIterable<O>,
    ) {
      if (request.requestId === "") return yield* run({ asked() {}, refused() {} });
      const id = idOf(request);
      const own = key(request, context);
      const { output: schema } = context.method;
      const before = commands.get(id) ?? answered.find(id, clock.now());
      if (before !== undefined) {
        requireSame(before, own);
        const bytes = output.find(id);
        if (bytes === undefined) throw answerGone();
        for await (const message of sizeDelimitedDecodeStream(schema as DescMessage, pieces(bytes))) yield message as O;
        return;
      }
      output.forget(id);
      commands.set(id, own);
      try {
        const kept: Uint8Array[] = [];
        let size = 0;
        const beginning = {
          // What may have begun and never ended is not run again either.
          asked: () => answered.record(id, { ...own, response: new Uint8Array() }, clock.now()),
          refused: () => answered.forget(id),
        };
        for await (const message of run(beginning)) {
          const bytes = sizeDelimitedEncode(schema, message);
          size += bytes.length;
          if (size <= MAX_KEPT_STREAM) kept.push(bytes);
          else kept.length = 0;
          yield message;
        }
        if (size <= MAX_KEPT_STREAM) output.keep(id, sandboxId, Buffer.concat(kept));
      } finally {
        commands.delete(id);
      }
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
    "this request was made before, and its command is not run again; what it wrote is not there: it has not ended, was given up, wrote too much, or was long ago",
    {
      next: "to run it once more, send another request_id",
    },
  );
}

function invalid(message: string): OpenShellError {
  return new OpenShellError("invalid_argument", message, { violations: [{ field: "request_id", message }] });
}
