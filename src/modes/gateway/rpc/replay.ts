import { createHash } from "node:crypto";
import { type DescMessage, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { OpenShellError } from "../../../error.ts";
import { principalKey } from "../auth/principal.ts";
import type { Store } from "../store/database.ts";
import type { RequestIdRepository } from "../store/request-ids.ts";

type Request = Message & { readonly requestId: string };

/** At-most-once by `request_id`: the same id with the same payload within a day answers what the first call answered. */
export interface Replay {
  /** Runs a synchronous change and remembers its answer in one transaction. */
  once<O extends Message>(request: Request, context: HandlerContext, run: () => O): O;
  /**
   * Runs a change that takes time; a second call meanwhile waits for the first. `run` calls `remember` in the transaction that makes
   * the change certain; what it did not remember is remembered when it returns, and forgotten when it throws.
   */
  later<O extends Message>(request: Request, context: HandlerContext, run: (remember: (answer: O) => void) => Promise<O>): Promise<O>;
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
    requireUuid(request.requestId);
    const before = answered.find(request.requestId, clock.now());
    if (before === undefined) return undefined;
    requireSame(before, key(request, context));
    return fromBinary(context.method.output as DescMessage, before.response) as O;
  };
  const record = (request: Request, context: HandlerContext, response: Message): void =>
    answered.record(request.requestId, { ...key(request, context), response: toBinary(context.method.output, response) }, clock.now());

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
      // Who joins a running call must not read the answer that it has remembered before it is true.
      const meanwhile = running.get(request.requestId);
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
          if (remembered) answered.forget(request.requestId);
          throw error;
        },
      );
      running.set(request.requestId, { key: own, answer: call });
      return await call.finally(() => running.delete(request.requestId));
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
    return { method: context.method.name, caller, digest: digestOf(toBinary(context.method.input, request)) };
  };

function requireSame(before: Key, { method, caller, digest }: Key): void {
  if (before.method === method && before.caller === caller && before.digest === digest) return;
  throw invalid("request_id was used for another request within the last 24 hours");
}

function requireUuid(id: string): void {
  const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
  if (!uuid.test(id) || /^[0-]+$/.test(id)) throw invalid("request_id must be a UUID other than zero");
}

function invalid(message: string): OpenShellError {
  return new OpenShellError("invalid_argument", message, { violations: [{ field: "request_id", message }] });
}
