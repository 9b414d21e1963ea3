import { fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor, type Transport } from "@connectrpc/connect";
import { AgentToken } from "./agent-token.ts";
import { CallLimit } from "./call-limit.ts";
import type { GrpcStatus } from "./grpc-message.ts";
import { AGENT_METHODS, type Method, notOpen } from "./methods.ts";

/** Calls that say nothing of their time get the published clients' deadline. Milliseconds. */
const DEFAULT_TIMEOUT = 30_000;
/** Nobody waits longer for one of these answers. Milliseconds. */
const LONGEST_TIMEOUT = 60_000;

export interface RelayOptions {
  /** A connection to the gateway that presents nothing of its own: no certificate, no token. */
  readonly connect: (interceptors: Interceptor[]) => Transport;
  /** Asks the gateway for a token of kind *agent*, with the supervisor's own credential. */
  readonly issueToken: () => Promise<string>;
}

/** What became of a call; a message when it succeeded. */
export interface RelayAnswer {
  readonly status: GrpcStatus;
  readonly message?: Uint8Array;
  /** The answer has left us, or will never: until then it counts as a call under way, since it takes our memory. */
  readonly done?: () => void;
}

/**
 * Calls from inside the sandbox, made again by us: of what the caller sent, only the method and its decoded message go to the gateway. So
 * nothing that could be a credential, and no field that this version does not know as one of the request, can come along.
 */
export class AgentRelay {
  readonly #token: AgentToken;
  readonly #connect: () => Transport;
  #transport: Transport | undefined;
  readonly #limit = new CallLimit();

  constructor({ connect, issueToken }: RelayOptions) {
    const token = new AgentToken(issueToken);
    this.#token = token;
    const interceptors: Interceptor[] = [
      (next) => async (request) => {
        // Without it the gateway of a plaintext setup would take the call for the local user's: no token, no call.
        request.header.set("authorization", `Bearer ${await token.get()}`);
        return await next(request);
      },
    ];
    this.#connect = () => connect(interceptors);
  }

  /** `message`: one encoded request. Never rejects. */
  async call(path: string, message: Uint8Array, timeoutMs: number | undefined, signal: AbortSignal): Promise<RelayAnswer> {
    const method = AGENT_METHODS.get(path);
    if (method === undefined) return { status: notOpen(path) };
    const tooMany = this.#limit.begin();
    if (tooMany !== undefined) return { status: { code: Code.ResourceExhausted, message: tooMany } };
    const done = once(() => this.#limit.ended());
    try {
      const request = decoded(method, message);
      const timeout = Math.min(timeoutMs ?? DEFAULT_TIMEOUT, LONGEST_TIMEOUT);
      // Most sandboxes never ask; a connection is for those that do.
      this.#transport ??= this.#connect();
      const answer = await this.#transport.unary(method, signal, timeout, undefined, request);
      return { status: { code: 0, message: "" }, message: toBinary(method.output, answer.message), done };
    } catch (error) {
      done();
      return { status: this.#failure(error) };
    }
  }

  #failure(error: unknown): GrpcStatus {
    if (!(error instanceof ConnectError)) return { code: Code.Unavailable, message: "the gateway cannot be reached at the moment" };
    if (error.code !== Code.Unauthenticated) return { code: error.code, message: error.rawMessage };
    // It is our token that was refused, which the caller has no part in.
    this.#token.forget();
    return { code: Code.Unavailable, message: "the gateway does not take this sandbox's token at the moment" };
  }
}

function decoded(method: Method, message: Uint8Array): MessageShape<Method["input"]> {
  try {
    return fromBinary(method.input, message, { readUnknownFields: false });
  } catch {
    throw new ConnectError("the request is not a message of this method", Code.InvalidArgument);
  }
}

function once(act: () => void): () => void {
  let acted = false;
  return () => {
    if (acted) return;
    acted = true;
    act();
  };
}
