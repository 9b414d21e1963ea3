import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type RelayOpenSchema, type TcpForwardFrame, TcpForwardFrameSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { Relay, RelayRegistry } from "./relays.ts";

/**
 * Carries the bytes of a ForwardTcp call over a relay. The end of the caller's stream and an empty frame both mean that it will send nothing
 * more; the relay says so by an empty frame, and so does the sandbox of its side.
 */
export async function* runTunnel(
  relays: RelayRegistry,
  sandboxId: string,
  target: NonNullable<MessageInitShape<typeof RelayOpenSchema>["target"]>,
  frames: AsyncIterator<TcpForwardFrame>,
  signal: AbortSignal,
): AsyncGenerator<TcpForwardFrame> {
  const relay = await relays.open(sandboxId, target, signal);
  const cancel = (): void => relay.close("the tunnel ended");
  signal.addEventListener("abort", cancel, { once: true });
  if (signal.aborted) cancel();
  void feed(relay, frames).catch(cancel);
  try {
    for await (const { payload } of relay.frames) {
      if (payload.case === "data") yield create(TcpForwardFrameSchema, { payload });
    }
  } finally {
    signal.removeEventListener("abort", cancel);
    cancel();
  }
}

async function feed(relay: Relay, frames: AsyncIterator<TcpForwardFrame>): Promise<void> {
  for (let next = await frames.next(); next.done !== true; next = await frames.next()) {
    const { payload } = next.value;
    if (payload.case === "data" && !(await relay.send(payload))) return;
  }
  await relay.send({ case: "data", value: new Uint8Array() });
}
