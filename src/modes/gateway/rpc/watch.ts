import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { OpenShellError } from "../../../error.ts";
import { AsyncQueue } from "../../../rpc/async-queue.ts";
import { type SandboxStreamEvent, SandboxStreamEventSchema, type WatchSandboxRequest } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { BusEvent } from "../bus.ts";
import type { GatewayContext } from "../context.ts";
import { type LogFilter, matches, requireLevel } from "../logs/service.ts";
import { isTerminal } from "../sandboxes/lifecycle.ts";
import { toSandbox } from "../sandboxes/view.ts";
import { LOG_LINES_KEPT } from "../store/logs.ts";
import type { Handlers } from "./service-impl.ts";

/** Events that may wait for one watcher; what comes beyond is counted and told as a warning. */
const MAX_LAG = 1000;
/** Platform events kept for a watcher that asks for the past ones. */
const MAX_EVENT_TAIL = 50;
/** Log lines before the live ones when the request gives no number. */
const DEFAULT_LOG_TAIL = 200;

/** Status, logs, events and drafts of one sandbox as they happen; a snapshot first, and the end when the sandbox is deleted. */
export function watchHandlers(context: GatewayContext): Handlers {
  const { sandboxes, bus, logs } = context;
  const epoch = crypto.randomUUID().slice(0, 8);
  return {
    async *watchSandbox(request, call) {
      requireLevel(request.logMinLevel);
      const { id } = sandboxes.find(request.workspaceScope, request.sandbox);
      const filter = logFilter(request);
      const cursor = (sequence: number): string => Buffer.from(`${epoch}/${id}/${sequence}`).toString("base64url");
      const queue = new AsyncQueue<BusEvent>();
      let dropped = 0;
      const unsubscribe = bus.subscribe(id, {
        event(event) {
          if (queue.length < MAX_LAG) queue.push(event);
          else dropped++;
        },
        end: () => queue.close(),
      });
      const stop = (): void => queue.close();
      call.signal.addEventListener("abort", stop, { once: true });
      const position = bus.position(id);
      const missed = request.resumeAfterCursor === "" ? undefined : resume(context, epoch, id, request.resumeAfterCursor);
      const emit = (
        sequence: number,
        payload: NonNullable<MessageInitShape<typeof SandboxStreamEventSchema>["payload"]>,
      ): SandboxStreamEvent => create(SandboxStreamEventSchema, { payload, cursor: cursor(sequence) });
      const status = (sequence: number): SandboxStreamEvent | undefined => {
        const record = sandboxes.get(id);
        return record === undefined ? undefined : emit(sequence, { case: "sandbox", value: toSandbox(record, context.sessions) });
      };
      const ended = (): boolean => {
        const record = sandboxes.get(id);
        return record === undefined || (request.stopOnTerminal && isTerminal(record.status));
      };
      try {
        const snapshot = request.followStatus ? status(position) : undefined;
        if (snapshot !== undefined) yield snapshot;
        const past = missed ?? eventTail(bus.recent(id), request.eventTail);
        if (missed === undefined && request.followLogs) {
          const count = Math.min(request.logTailLines || DEFAULT_LOG_TAIL, LOG_LINES_KEPT);
          for (const value of logs.tail(id, count, filter).lines) yield emit(position, { case: "log", value });
        }
        for (const event of past)
          if (wants(request, filter, event) && event.payload.case !== "status") yield emit(event.sequence, event.payload);
        if (ended()) return;
        for await (const event of queue) {
          if (dropped > 0) {
            yield emit(event.sequence, {
              case: "warning",
              value: { message: `${dropped} events were left out because this watch fell behind` },
            });
            dropped = 0;
          }
          if (wants(request, filter, event)) {
            const message = event.payload.case === "status" ? status(event.sequence) : emit(event.sequence, event.payload);
            if (message !== undefined) yield message;
          }
          if (event.payload.case === "status" && ended()) return;
        }
      } finally {
        unsubscribe();
        call.signal.removeEventListener("abort", stop);
      }
    },
  };
}

function wants(request: WatchSandboxRequest, filter: LogFilter, { payload }: BusEvent): boolean {
  switch (payload.case) {
    case "status":
      return request.followStatus;
    case "log":
      return request.followLogs && matches(payload.value, filter);
    default:
      return request.followEvents;
  }
}

function eventTail(recent: readonly BusEvent[], count: number): readonly BusEvent[] {
  const wanted = Math.min(count, MAX_EVENT_TAIL);
  return wanted === 0 ? [] : recent.filter((event) => event.payload.case === "event").slice(-wanted);
}

/** Events after a cursor that this gateway gave out for this sandbox. */
function resume({ bus }: GatewayContext, epoch: string, id: string, cursor: string): readonly BusEvent[] {
  const [ofEpoch, ofSandbox, sequence] = Buffer.from(cursor, "base64url").toString().split("/");
  const missed = ofEpoch === epoch && ofSandbox === id && /^\d+$/.test(sequence ?? "") ? bus.since(id, Number(sequence)) : undefined;
  if (missed === undefined)
    throw new OpenShellError("out_of_range", "the cursor is no longer known", { next: "watch again without a cursor" });
  return missed;
}

function logFilter(request: WatchSandboxRequest): LogFilter {
  const since = request.sinceTime === undefined ? undefined : timestampMs(request.sinceTime);
  return { sources: request.logSources, minLevel: request.logMinLevel, since };
}
