import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type TcpForwardFrame, TcpForwardFrameSchema, type TcpForwardInitSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { MAX_CHUNK_BYTES } from "../../../rpc/limits.ts";
import type { Gateway } from "../connection/gateway.ts";

export interface TunnelTarget {
  readonly sandbox: string;
  readonly token: string;
  readonly target: NonNullable<MessageInitShape<typeof TcpForwardInitSchema>["target"]>;
}

/**
 * A stream of bytes into a sandbox: takes what `input` gives, yields what comes back. The end of `input` is passed on; an empty piece that
 * is yielded means that the other side will send nothing more.
 */
export async function* openTunnel(
  gateway: Gateway,
  { sandbox, token, target }: TunnelTarget,
  input: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const init = { sandbox, workspace: gateway.workspace, authorizationToken: token, serviceId: `${target.case ?? ""}:${sandbox}`, target };
  const ended = Promise.withResolvers<void>();
  try {
    for await (const { payload } of gateway.client.forwardTcp(frames(init, input, ended.promise), { signal })) {
      if (payload.case === "data") yield payload.value;
    }
  } finally {
    ended.resolve();
  }
}

/** The call stays open after the end of the input: what is still to come from the sandbox belongs to it. */
async function* frames(
  init: MessageInitShape<typeof TcpForwardInitSchema>,
  input: AsyncIterable<Uint8Array>,
  ended: Promise<void>,
): AsyncGenerator<TcpForwardFrame> {
  yield create(TcpForwardFrameSchema, { payload: { case: "init", value: init } });
  for await (const piece of input) {
    for (let at = 0; at < piece.length; at += MAX_CHUNK_BYTES) {
      yield create(TcpForwardFrameSchema, { payload: { case: "data", value: piece.subarray(at, at + MAX_CHUNK_BYTES) } });
    }
  }
  yield create(TcpForwardFrameSchema, { payload: { case: "data", value: new Uint8Array() } });
  await ended;
}
