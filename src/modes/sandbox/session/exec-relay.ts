import { constants } from "node:os";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { OpenShellError } from "../../../error.ts";
import { duplicate } from "../../../linux/descriptors.ts";
import { AsyncQueue } from "../../../rpc/async-queue.ts";
import { type ExecSandboxRequest, type RelayFrame, RelayFrameSchema, type RelayOpen } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { Box, Child } from "../box/contract.ts";
import { DescriptorWriter, readPipe, readTerminal } from "../descriptor-stream.ts";
import type { GatewayClient } from "./gateway-client.ts";

/** Output that the gateway has not taken yet; above it the program's pipe fills and it waits. Frames of at most 64 KiB. */
const MAX_QUEUED_FRAMES = 32;

/** How long output may still come after the program has ended, as OpenSSH servers wait. Milliseconds. */
const DRAIN_TIME = 2000;

/** What coreutils' timeout reports. */
const TIMEOUT_EXIT_CODE = 124;

/** What shells report for a program that cannot be run or found. */
const CANNOT_RUN_EXIT_CODE = 126;
const NOT_FOUND_EXIT_CODE = 127;

/** Between SIGTERM and SIGKILL when the time is up. Milliseconds. */
const KILL_GRACE = 100;

/** Between SIGHUP and SIGKILL when the caller has gone. Milliseconds. */
const HANG_UP_GRACE = 2000;

const DEFAULT_TERMINAL = { columns: 80, rows: 24 };

export interface ExecContext {
  readonly client: GatewayClient;
  readonly box: Box;
  /** The environment of a program of this sandbox, with what the request adds. */
  environment(added: Readonly<Record<string, string>>): Record<string, string>;
  readonly workdir: string;
}

/** Serves one exec of the gateway: runs the program in the box, confined like the agent, over a relay stream of its own. */
export async function serveExecRelay(context: ExecContext, open: RelayOpen): Promise<void> {
  if (open.target.case !== "exec" || !open.target.value.start) {
    throw new OpenShellError("unimplemented", `relay target '${open.target.case ?? "none"}' is not served by this supervisor`);
  }
  const request = open.target.value.start;
  if (request.mainProcess) throw new OpenShellError("failed_precondition", "this sandbox has no main process");
  const outgoing = new AsyncQueue<RelayFrame>();
  const frame = (payload: MessageInitShape<typeof RelayFrameSchema>["payload"]) =>
    outgoing.push(create(RelayFrameSchema, payload === undefined ? {} : { payload }));
  frame({ case: "init", value: { channelId: open.channelId } });

  const abort = new AbortController();
  const incoming = context.client.relayStream(outgoing, { signal: abort.signal });
  try {
    const child = await launch(context, request);
    // Of a terminal, reader and writer each own a descriptor: closed twice, its number could be somebody else's by then.
    const stdin = child.stdio ? new DescriptorWriter(request.tty ? duplicate(child.stdio.stdin) : child.stdio.stdin) : undefined;
    let running = true;
    // The channel lasts until the program's exit was taken; its end before that is the caller's, or the gateway's.
    const input = pumpInput(incoming, child, stdin, request)
      .catch(() => {})
      .then(() => (running ? hangUp(child) : undefined));
    const timer = expiry(request, child);
    const output = [pumpOutput(child, "stdout", outgoing, frame), pumpOutput(child, "stderr", outgoing, frame)];
    const code = await child.exited;
    running = false;
    // A background process may hold the pipes open for ever; what the program itself wrote is here by then.
    await Promise.race([Promise.allSettled(output), Bun.sleep(DRAIN_TIME)]);
    frame({ case: "execEvent", value: { payload: { case: "exit", value: { exitCode: timer.expired() ? TIMEOUT_EXIT_CODE : code } } } });
    timer.cancel();
    outgoing.close();
    await input;
    await stdin?.close();
  } catch (error) {
    const { message, next, code } = OpenShellError.from(error);
    const text = new TextEncoder().encode(`openshell: ${message}${next ? ` (${next})` : ""}\n`);
    frame({ case: "execEvent", value: { payload: { case: "stderr", value: { data: text } } } });
    const exitCode = code === "not_found" ? NOT_FOUND_EXIT_CODE : CANNOT_RUN_EXIT_CODE;
    frame({ case: "execEvent", value: { payload: { case: "exit", value: { exitCode } } } });
    outgoing.close();
    for await (const _ of incoming);
  }
}

/** Ends a program whose caller has gone: as a terminal that is closed would, then without asking. */
async function hangUp(child: Child): Promise<void> {
  child.signal(constants.signals.SIGHUP);
  const gone = await Promise.race([child.exited.then(() => true), Bun.sleep(HANG_UP_GRACE).then(() => false)]);
  if (!gone) child.signal(constants.signals.SIGKILL);
}

function launch(context: ExecContext, request: ExecSandboxRequest): Promise<Child> {
  const environment = context.environment(request.environment);
  if (request.tty) environment["TERM"] ??= "xterm-256color";
  return context.box.launch({
    argv: request.command,
    environment,
    workdir: request.workdir || context.workdir,
    stdio: request.tty ? { columns: request.cols || DEFAULT_TERMINAL.columns, rows: request.rows || DEFAULT_TERMINAL.rows } : "pipe",
  });
}

async function pumpInput(
  incoming: AsyncIterable<RelayFrame>,
  child: Child,
  stdin: DescriptorWriter | undefined,
  request: ExecSandboxRequest,
): Promise<void> {
  if (request.stdin.length > 0) await stdin?.write(request.stdin);
  for await (const { payload } of incoming) {
    if (payload.case !== "execInput") continue;
    const input = payload.value.payload;
    if (input.case === "resize") child.resize(input.value.cols, input.value.rows);
    else if (input.case === "stdin" && input.value.length > 0) await stdin?.write(input.value);
    else if (input.case === "stdin") await stdin?.close();
  }
  await stdin?.close();
}

async function pumpOutput(
  child: Child,
  stream: "stdout" | "stderr",
  outgoing: AsyncQueue<RelayFrame>,
  frame: (payload: MessageInitShape<typeof RelayFrameSchema>["payload"]) => boolean,
): Promise<void> {
  if (!child.stdio) return;
  const terminal = child.stdio.stdout === child.stdio.stdin;
  if (terminal && stream === "stderr") return;
  const source = terminal ? readTerminal(child.stdio.stdout) : readPipe(child.stdio[stream]);
  for await (const data of source) {
    frame({ case: "execEvent", value: { payload: { case: stream, value: { data } } } });
    await outgoing.below(MAX_QUEUED_FRAMES);
  }
}

/** Timers hold 31 bits of milliseconds, 24.8 days, and end at once when asked for more; a limit beyond that is none. */
const LONGEST_TIMER = 2 ** 31 - 1;

function expiry(request: ExecSandboxRequest, child: Child): { expired(): boolean; cancel(): void } {
  const limit = request.executionTimeout;
  const milliseconds = limit ? Number(limit.seconds) * 1000 + limit.nanos / 1e6 : 0;
  if (milliseconds <= 0 || milliseconds > LONGEST_TIMER) return { expired: () => false, cancel: () => {} };
  let expired = false;
  let kill: ReturnType<typeof setTimeout> | undefined;
  const terminate = setTimeout(() => {
    expired = true;
    child.signal(constants.signals.SIGTERM);
    kill = setTimeout(() => child.signal(constants.signals.SIGKILL), KILL_GRACE);
  }, milliseconds);
  return {
    expired: () => expired,
    cancel() {
      clearTimeout(terminate);
      clearTimeout(kill);
    },
  };
}
