import { create } from "@bufbuild/protobuf";
import { OpenShellError } from "../../../error.ts";
import {
  type ExecSandboxEvent,
  type ExecSandboxInput,
  type ExecSandboxRequest,
  ExecSandboxRequestSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { MAX_CHUNK_BYTES } from "../../../rpc/limits.ts";
import type { OpenSteps, Relay, RelayRegistry } from "./relays.ts";

/**
 * Runs a command through the supervisor: any number of output events, then exactly one exit, then the end. When the caller goes away
 * the channel closes, and the supervisor kills the command.
 */
export async function* runExec(
  relays: RelayRegistry,
  sandboxId: string,
  request: ExecSandboxRequest,
  input: AsyncIterable<ExecSandboxInput>,
  signal: AbortSignal,
  beginning?: OpenSteps,
): AsyncGenerator<ExecSandboxEvent> {
  // Stdin travels as frames of the channel, never inside the message that opens it.
  const start = create(ExecSandboxRequestSchema, { ...request, stdin: new Uint8Array() });
  const relay = await relays.open(sandboxId, { case: "exec", value: { start } }, signal, beginning);
  const cancel = (): void => relay.close("the caller went away");
  signal.addEventListener("abort", cancel, { once: true });
  void feed(relay, request.stdin, input).catch(cancel);
  try {
    for await (const { payload } of relay.frames) {
      if (payload.case !== "execEvent") continue;
      yield payload.value;
      if (payload.value.payload.case === "exit") return;
    }
    throw new OpenShellError("unavailable", "the sandbox ended the command without an exit status");
  } finally {
    signal.removeEventListener("abort", cancel);
    relay.close("done");
  }
}

async function feed(relay: Relay, stdin: Uint8Array, input: AsyncIterable<ExecSandboxInput>): Promise<void> {
  for (let offset = 0; offset < stdin.length; offset += MAX_CHUNK_BYTES) {
    if (
      !(await relay.send({
        case: "execInput",
        value: { payload: { case: "stdin", value: stdin.subarray(offset, offset + MAX_CHUNK_BYTES) } },
      }))
    )
      return;
  }
  for await (const message of input) {
    if (!(await relay.send({ case: "execInput", value: message }))) return;
  }
  // Empty stdin means the end of it.
  await relay.send({ case: "execInput", value: { payload: { case: "stdin", value: new Uint8Array() } } });
}
