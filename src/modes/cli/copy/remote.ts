import type { MessageInitShape } from "@bufbuild/protobuf";
import { OpenShellError } from "../../../error.ts";
import type { ExecSandboxInputSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { MAX_CHUNK_BYTES } from "../../../rpc/limits.ts";
import type { Gateway } from "../connection/gateway.ts";
import { InputQueue } from "../sandbox/input-queue.ts";

type Input = MessageInitShape<typeof ExecSandboxInputSchema>;

/** What a helper says is shown to a person: this much of it. Bytes. */
const MAX_STDERR_BYTES = 4096;

export interface RemoteCommand {
  readonly sandbox: string;
  readonly command: readonly string[];
  /** Its standard input; none when left out. */
  readonly input?: AsyncIterable<Uint8Array>;
  /** Takes its standard output; the next piece waits for it. */
  readonly output?: (piece: Uint8Array) => Promise<void> | void;
  /** Gives the command up. */
  readonly signal?: AbortSignal;
}

export interface RemoteResult {
  readonly exitCode: number;
  readonly stderr: string;
}

/** Runs a command in a sandbox without a terminal, with streams on both sides. */
export async function runRemote(gateway: Gateway, { sandbox, command, input, output, signal }: RemoteCommand): Promise<RemoteResult> {
  const queue = new InputQueue<Input>();
  void queue.push({
    payload: { case: "start", value: { workspaceScope: gateway.scope, sandbox, command: [...command], noLoginShell: true } },
  });
  const abort = new AbortController();
  const given = signal === undefined ? abort.signal : AbortSignal.any([abort.signal, signal]);
  let failure: unknown;
  const feeding = feed(queue, input).catch((reason: unknown) => {
    failure = reason;
    abort.abort();
  });
  let stderr = "";
  try {
    for await (const { payload } of gateway.client.execSandboxInteractive(queue, { signal: given })) {
      if (payload.case === "stdout") await output?.(payload.value.data);
      else if (payload.case === "stderr") stderr = (stderr + new TextDecoder().decode(payload.value.data)).slice(0, MAX_STDERR_BYTES);
      else if (payload.case === "exit") return { exitCode: payload.value.exitCode, stderr };
    }
  } catch (reason) {
    throw failure ?? reason;
  } finally {
    queue.close();
    void feeding;
  }
  throw new OpenShellError("unavailable", "the connection ended before the copy did", { next: "openshell status" });
}

async function feed(queue: InputQueue<Input>, input: AsyncIterable<Uint8Array> | undefined): Promise<void> {
  for await (const piece of input ?? []) {
    for (let at = 0; at < piece.length; at += MAX_CHUNK_BYTES) {
      await queue.push({ payload: { case: "stdin", value: piece.subarray(at, at + MAX_CHUNK_BYTES) } });
    }
  }
  await queue.push({ payload: { case: "stdin", value: new Uint8Array(0) } });
}
