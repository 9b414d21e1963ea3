import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { OpenShellError } from "../../../error.ts";
import { type SandboxLogLine, SandboxLogLineSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { MAX_RESPONSE_BYTES } from "../../../rpc/limits.ts";
import type { Bus } from "../bus.ts";
import { safeText } from "../drafts/text.ts";
import type { LogStore } from "../store/logs.ts";
import { LogQuota } from "./quota.ts";

/** Lines per PushSandboxLogs message, as the published gateway takes. */
export const MAX_BATCH_LINES = 100;
/** One event is one line; longer ones are cut. */
const MAX_MESSAGE_LENGTH = 16_384;
const MAX_FIELDS = 64;
const MAX_FIELD_LENGTH = 4096;
const MAX_NAME_LENGTH = 256;
const MAX_LEVEL_LENGTH = 16;

/** Lines of one answer: what fits beside its envelope; the newest are kept. */
const MAX_TAIL_BYTES = MAX_RESPONSE_BYTES - 64 * 1024;
/** What a line takes in an answer beside itself: its tag and length. */
const LINE_OVERHEAD = 8;

/** From the most to the least important; OCSF events rank as INFO. */
const LEVELS: Readonly<Record<string, number>> = { ERROR: 0, WARN: 1, INFO: 2, OCSF: 2, DEBUG: 3, TRACE: 4 };

export interface LogFilter {
  readonly sources: readonly string[];
  readonly minLevel: string;
  /** Milliseconds since the epoch. */
  readonly since: number | undefined;
}

export interface LogService {
  /** A line of the gateway about a sandbox. */
  gateway(sandboxId: string, level: string, message: string): void;
  /** Lines of the sandbox; their source is forced, their time never ahead of the gateway's clock. */
  push(sandboxId: string, lines: readonly SandboxLogLine[]): void;
  /** The last `limit` lines that pass the filter, oldest first, and how many are kept in all. */
  tail(sandboxId: string, limit: number, filter: LogFilter): { lines: SandboxLogLine[]; total: number };
  deleteSandbox(sandboxId: string): void;
}

export function logService(store: LogStore, bus: Bus, clock: { now(): number }): LogService {
  const quota = new LogQuota(clock);
  const append = (sandboxId: string, lines: SandboxLogLine[]): void => {
    store.append(sandboxId, lines);
    for (const value of lines) bus.publish(sandboxId, { case: "log", value });
  };
  return {
    gateway(sandboxId, level, message) {
      const eventTime = timestampFromMs(clock.now());
      append(sandboxId, [create(SandboxLogLineSchema, { sandboxId, eventTime, level, target: "gateway", source: "gateway", message })]);
    },
    push(sandboxId, lines) {
      if (lines.length > MAX_BATCH_LINES) {
        throw new OpenShellError(
          "invalid_argument",
          `logs exceeds maximum: ${lines.length} lines, at most ${MAX_BATCH_LINES} are accepted in one message`,
        );
      }
      const clamped = lines.map((line) => clamp(sandboxId, line, clock.now()));
      const { lines: admitted, dropped } = quota.admit(sandboxId, clamped, sizeOf);
      if (dropped > 0) this.gateway(sandboxId, "WARN", `${dropped} lines of this sandbox were left out: it logs more than it may`);
      if (admitted.length > 0) append(sandboxId, admitted);
    },
    tail(sandboxId, limit, filter) {
      const lines: SandboxLogLine[] = [];
      let bytes = 0;
      for (const line of store.newest(sandboxId, filter.since)) {
        if (lines.length >= limit) break;
        if (!matches(line, filter)) continue;
        bytes += sizeOf(line) + LINE_OVERHEAD;
        if (bytes > MAX_TAIL_BYTES) break;
        lines.push(line);
      }
      return { lines: lines.reverse(), total: store.count(sandboxId) };
    },
    deleteSandbox(sandboxId) {
      quota.forget(sandboxId);
      store.deleteSandbox(sandboxId);
    },
  };
}

/** Whether a line passes; unknown levels count as INFO. */
export function matches(line: SandboxLogLine, { sources, minLevel, since }: LogFilter): boolean {
  if (sources.length > 0 && !sources.includes(line.source || "gateway")) return false;
  if (since !== undefined && (line.eventTime === undefined || timestampMs(line.eventTime) < since)) return false;
  return minLevel === "" || rank(line.level) <= rank(minLevel);
}

/** Throws `invalid_argument` for a level that does not exist. */
export function requireLevel(level: string): void {
  if (level === "" || Object.hasOwn(LEVELS, level.toUpperCase())) return;
  throw new OpenShellError("invalid_argument", `'${level}' is not a log level; there are ${Object.keys(LEVELS).join(", ")}`);
}

/** What a line costs of the quota: its message and fields, and what every line takes beside them. */
function sizeOf(line: SandboxLogLine): number {
  return toBinary(SandboxLogLineSchema, line).length;
}

function rank(level: string): number {
  return LEVELS[level.toUpperCase()] ?? 2;
}

/** Within its limits, of the gateway's time, and printable: whoever shows it shows no control bytes of the agent (threat 32). */
function clamp(sandboxId: string, line: SandboxLogLine, now: number): SandboxLogLine {
  const time = line.eventTime === undefined ? now : Math.min(timestampMs(line.eventTime), now);
  const fields = Object.entries(line.fields).slice(0, MAX_FIELDS);
  const safe = (text: string, limit: number) => safeText(text, limit).text;
  return create(SandboxLogLineSchema, {
    sandboxId,
    eventTime: timestampFromMs(time),
    level: safe(line.level, MAX_LEVEL_LENGTH),
    target: safe(line.target, MAX_NAME_LENGTH),
    source: "sandbox",
    message: safe(line.message, MAX_MESSAGE_LENGTH),
    fields: Object.fromEntries(fields.map(([key, value]) => [safe(key, MAX_NAME_LENGTH), safe(value, MAX_FIELD_LENGTH)])),
  });
}
