import type { DescMessage, Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext, type Interceptor } from "@connectrpc/connect";
import { toConnectError } from "../../../rpc/errors.ts";
import { type Authenticator, authenticate, peerKey } from "./authenticate.ts";
import { authorize } from "./authorize.ts";
import { requireOwnSandbox } from "./own-sandbox.ts";
import { type Principal, principalKey } from "./principal.ts";
import { DELIVERS_SECRETS, redact } from "./redact.ts";

type Log = (reason: unknown) => void;

/** Decides who calls and whether the method is theirs, before a byte of the request is read. */
export function requestGate(authenticator: Authenticator, log: Log): (context: HandlerContext) => Promise<void> {
  return async (context) => {
    try {
      const principal = await authenticate(authenticator, context.values.get(peerKey), context.requestHeader.get("authorization"));
      authorize(context.method, principal);
      context.values.set(principalKey, principal);
    } catch (error) {
      throw toConnectError(error, log);
    }
  };
}

/**
 * Around every call: a sandbox names only itself in each message it sends, secrets leave only where they are meant to, and whatever is
 * thrown becomes a status without internals.
 */
export function guard(log: Log): Interceptor {
  return (next) => async (request) => {
    const principal = request.contextValues.get(principalKey);
    const clean = DELIVERS_SECRETS.has(request.method.name)
      ? <T>(message: T) => message
      : (message: Message) => redact(request.method.output, message);
    try {
      if (request.stream) {
        const response = await next({ ...request, message: onlyOwn(request.method.input, request.message, principal) });
        if (!response.stream) return response;
        return { ...response, message: mapped(response.message, clean, log, request.signal) };
      }
      checkOwn(request.method.input, request.message, principal);
      const response = await next(request);
      return response.stream ? response : { ...response, message: clean(response.message) as typeof response.message };
    } catch (error) {
      throw deadlineOf(request.signal) ?? toConnectError(error, log);
    }
  };
}

/** The status of a call whose deadline has passed, whatever else that made fail. */
function deadlineOf({ aborted, reason }: AbortSignal): ConnectError | undefined {
  return aborted && reason instanceof ConnectError && reason.code === Code.DeadlineExceeded ? reason : undefined;
}

function checkOwn(desc: DescMessage, message: Message, principal: Principal): void {
  if (principal.kind === "sandbox") requireOwnSandbox(desc, message, principal);
}

async function* onlyOwn<T extends Message>(desc: DescMessage, messages: AsyncIterable<T>, principal: Principal): AsyncIterable<T> {
  for await (const message of messages) {
    checkOwn(desc, message, principal);
    yield message;
  }
}

/** What a stream answers. A deadline that cuts it short is its status: the end alone would look like the whole answer. */
async function* mapped<T extends Message>(
  messages: AsyncIterable<T>,
  clean: (message: T) => Message,
  log: Log,
  signal: AbortSignal,
): AsyncIterable<T> {
  try {
    for await (const message of messages) yield clean(message) as T;
  } catch (error) {
    throw deadlineOf(signal) ?? toConnectError(error, log);
  }
  const late = deadlineOf(signal);
  if (late !== undefined) throw late;
}
