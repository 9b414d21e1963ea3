import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { SecurityEvent } from "../../../events/event.ts";
import { formatShorthand } from "../../../events/shorthand.ts";
import {
  type PushSandboxLogsRequest,
  PushSandboxLogsRequestSchema,
  type SandboxLogLine,
  SandboxLogLineSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { GatewayClient } from "../session/gateway-client.ts";

/** Lines of one message, and the longest a line waits for company. */
const BATCH_LINES = 50;
const BATCH_DELAY = 500;

/** Lines kept while the gateway is away: enough to see what happened, bounded because an agent decides how many there are. */
const MAX_WAITING_LINES = 200;

/** Sends log lines to the gateway in batches; never blocks, forgets the oldest lines first. */
export class LogPush {
  readonly #client: GatewayClient;
  readonly #sandboxId: string;
  #waiting: SandboxLogLine[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sending = false;
  #connected = false;

  constructor(client: GatewayClient, sandboxId: string) {
    this.#client = client;
    this.#sandboxId = sandboxId;
  }

  /** Sending starts with a session and pauses without one. */
  set connected(value: boolean) {
    this.#connected = value;
    if (value) this.#schedule();
  }

  observe(event: SecurityEvent): void {
    this.#waiting.push(
      create(SandboxLogLineSchema, {
        sandboxId: this.#sandboxId,
        eventTime: timestampFromMs(event.time),
        level: "OCSF",
        target: "ocsf",
        message: formatShorthand(event),
        source: "sandbox",
      }),
    );
    if (this.#waiting.length > MAX_WAITING_LINES) this.#waiting.shift();
    if (this.#waiting.length >= BATCH_LINES) void this.flush();
    else this.#schedule();
  }

  #schedule(): void {
    if (this.#waiting.length > 0) this.#timer ??= setTimeout(() => void this.flush(), BATCH_DELAY);
  }

  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#sending || !this.#connected || this.#waiting.length === 0) return;
    this.#sending = true;
    const lines = this.#waiting;
    this.#waiting = [];
    try {
      await this.#client.pushSandboxLogs(batches(this.#sandboxId, lines));
    } catch {
      // Kept for the next session, within the bound.
      this.#waiting = [...lines, ...this.#waiting].slice(-MAX_WAITING_LINES);
    } finally {
      this.#sending = false;
      this.#schedule();
    }
  }
}

async function* batches(sandboxId: string, lines: readonly SandboxLogLine[]): AsyncGenerator<PushSandboxLogsRequest> {
  for (let start = 0; start < lines.length; start += BATCH_LINES) {
    yield create(PushSandboxLogsRequestSchema, { sandboxId, logs: lines.slice(start, start + BATCH_LINES) });
  }
}
