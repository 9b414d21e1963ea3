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
  /** Runs a change that takes time and remembers its answer afterwards; a second call meanwhile waits for the first. */
  later<O>(request: { readonly requestId: string }, context: HandlerContext, run: () => Promise<O>): Promise<O>;
}

export function replay(store: Store, answered: RequestIdRepository, clock: { now(): number }): Replay {
  const running = new Map<string, Promise<unknown>>();

  const find = <O>(request: Request, context: HandlerContext): O | undefined => {
    requireUuid(request.requestId);
    const before = answered.find(request.requestId, clock.now());
    if (before === undefined) return undefined;
    const { method, caller, digest } = key(request, context);
    if (before.method !== method || before.caller !== caller || before.digest !== digest) {
      throw invalid("request_id was used for another request within the last 24 hours");
    }
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
    async later<O>(given: { readonly requestId: string }, context: HandlerContext, run: () => Promise<O>): Promise<O> {
      const request = given as Request;
      if (request.requestId === "") return await run();
      // The digest is part of the key: another payload under the same id must not join, it is refused below.
      const name = `${request.requestId}/${key(request, context).digest}`;
      const before = find<O>(request, context) ?? (running.get(name) as Promise<O> | undefined);
      if (before !== undefined) return await before;
      const call = run().then((response) => {
        record(request, context, response as Message);
        return response;
      });
      running.set(name, call);
      return await call.finally(() => running.delete(name));
    },
  };
}

function key(request: Request, context: HandlerContext): { method: string; caller: string; digest: string } {
  const principal = context.values.get(principalKey);
  const caller =
    principal.kind === "user" ? `user:${principal.subject}` : principal.kind === "sandbox" ? `sandbox:${principal.sandboxId}` : "none";
  const digest = createHash("sha256").update(toBinary(context.method.input, request)).digest("hex");
  return { method: context.method.name, caller, digest };
}

function requireUuid(id: string): void {
  const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
  if (!uuid.test(id) || /^[0-]+$/.test(id)) throw invalid("request_id must be a UUID other than zero");
}

function invalid(message: string): OpenShellError {
  return new OpenShellError("invalid_argument", message, { violations: [{ field: "request_id", message }] });
}
