import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { AsyncQueue } from "../../../rpc/async-queue.ts";
import { type RelayFrame, RelayFrameSchema, type RelayOpen } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { MainProcess, Spectator } from "../main-process.ts";
import type { GatewayClient } from "./gateway-client.ts";

/** Output that the gateway has not taken yet; above it the process waits. Frames of at most 64 KiB. */
const MAX_QUEUED_FRAMES = 32;

/** What whoever is too slow for a process that many look at is shown last. */
const DROPPED = new TextEncoder().encode("openshell: its output came faster than it was taken; nothing more is shown\n");

/** Shows the main process over a relay stream, as an exec is shown, and feeds it; its end is the exit of that exec. */
export async function serveMainRelay(client: GatewayClient, main: MainProcess, { channelId, target }: RelayOpen): Promise<void> {
  const outgoing = new AsyncQueue<RelayFrame>();
  const frame = (payload: NonNullable<MessageInitShape<typeof RelayFrameSchema>["payload"]>) =>
    outgoing.push(create(RelayFrameSchema, { payload }));
  frame({ case: "init", value: { channelId } });
  const incoming = client.relayStream(outgoing);
  const spectator: Spectator = {
    show(stream, piece) {
      // A copy: who reads a pipe may use its buffer again before this is sent.
      frame({ case: "execEvent", value: { payload: { case: stream, value: { data: Uint8Array.from(piece) } } } });
      return outgoing.length < MAX_QUEUED_FRAMES;
    },
    drained: () => outgoing.below(MAX_QUEUED_FRAMES),
    ended(exitCode) {
      frame({ case: "execEvent", value: { payload: { case: "exit", value: { exitCode } } } });
      outgoing.close();
    },
    dropped() {
      frame({ case: "execEvent", value: { payload: { case: "stderr", value: { data: DROPPED } } } });
      outgoing.close();
    },
  };
  const { cols: columns = 0, rows = 0 } = (target.case === "exec" && target.value.start) || {};
  const attached = main.attach(spectator, columns > 0 && rows > 0 ? { columns, rows } : undefined);
  try {
    for await (const { payload } of incoming) {
      const input = payload.case === "execInput" ? payload.value.payload : undefined;
      if (input?.case === "resize") attached.resize(input.value.cols, input.value.rows);
      else if (input?.case === "stdin" && input.value.length > 0) await attached.type(input.value);
      else if (input?.case === "stdin") await attached.endInput();
    }
  } catch {
    // The connection broke: nobody looks any more.
  } finally {
    attached.leave();
    outgoing.close();
  }
}
