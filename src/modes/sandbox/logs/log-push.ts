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

/** How long the gateway may take to receive the last lines. Milliseconds; a supervisor has five seconds to end. */
const LAST_WORDS_TIME = 1000;

/** Lines kept while the gateway is away: enough to see what happened, bounded because an agent decides how many there are. */
const MAX_WAITING_LINES = 200;

/**
 * Informational lines of one second that go to the gateway: an agent that opens thousands of connections, or sends thousands of requests,
 * would make the gateway work for each. The sandbox's own log file has them all; denials and changes are never held back here.
 */
const INFORMATIONAL_PER_SECOND = 50;
const INFORMATIONAL_BURST = 200;

/** Sends log lines to the gateway in batches; never blocks, forgets the oldest lines first. */
export class LogPush {
  readonly #client: GatewayClient;
  readonly #sandboxId: string;
  #waiting: SandboxLogLine[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sending = false;
  /** Settles with the batch that is under way. */
  #flushing: Promise<void> = Promise.resolve();
  #connected = false;
  #credit = INFORMATIONAL_BURST;
  #creditTime = 0;
  #heldBack = 0;
  /** Lines that there was no room for while the gateway was away. */
  #forgotten = 0;

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
    if (
      (event.kind === "network" || event.kind === "http" || event.kind === "sql") &&
      event.severity === "informational" &&
      !this.#mayInform(event.time)
    ) {
      this.#heldBack += 1;
      return;
    }
    if (this.#heldBack > 0) this.#add(event.time, `${this.#heldBack} allowed connections and requests are only in the sandbox's own log`);
    this.#heldBack = 0;
    this.#add(event.time, formatShorthand(event), isDenied(event) ? { action: "denied" } : {});
    if (this.#waiting.length >= BATCH_LINES) void this.flush();
    else this.#schedule();
  }

  /** A token bucket over the events' own clock. */
  #mayInform(time: number): boolean {
    const earned = (Math.max(0, time - this.#creditTime) / 1000) * INFORMATIONAL_PER_SECOND;
    this.#credit = Math.min(INFORMATIONAL_BURST, this.#credit + earned);
    this.#creditTime = time;
    if (this.#credit < 1) return false;
    this.#credit -= 1;
    return true;
  }

  #add(time: number, message: string, fields: Record<string, string> = {}): void {
    this.#waiting.push(this.#line(time, message, fields));
    this.#keepNewest();
  }

  #line(time: number, message: string, fields: Record<string, string> = {}): SandboxLogLine {
    const about = { sandboxId: this.#sandboxId, level: "OCSF", target: "ocsf", source: "sandbox" };
    return create(SandboxLogLineSchema, { ...about, eventTime: timestampFromMs(time), message, fields });
  }

  /** Lines that are no denials go first. */
  #keepNewest(): void {
    while (this.#waiting.length > MAX_WAITING_LINES) {
      const other = this.#waiting.findIndex(({ fields }) => fields["action"] === undefined);
      this.#waiting.splice(Math.max(0, other), 1);
      this.#forgotten += 1;
    }
  }

  #schedule(): void {
    if (this.#waiting.length > 0) this.#timer ??= setTimeout(() => void this.flush(), BATCH_DELAY);
  }

  /** What is left goes now, not for long, also when the gateway has ended the session: a sandbox that ends has no other. */
  async finish(): Promise<void> {
    this.#connected = true;
    // What came while an earlier batch was under way goes behind it.
    const last = this.#flushing.then(() => this.flush());
    await Promise.race([last, Bun.sleep(LAST_WORDS_TIME)]);
    this.#connected = false;
    clearTimeout(this.#timer);
  }

  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#sending || !this.#connected || this.#waiting.length === 0) return;
    this.#flushing = this.#send();
    await this.#flushing;
  }

  async #send(): Promise<void> {
    this.#sending = true;
    const forgotten = this.#forgotten;
    this.#forgotten = 0;
    if (forgotten > 0) this.#waiting.unshift(this.#line(Date.now(), `${forgotten} lines from before are only in the sandbox's own log`));
    const lines = this.#waiting;
    this.#waiting = [];
    try {
      await this.#client.pushSandboxLogs(batches(this.#sandboxId, lines));
    } catch {
      // Kept for the next session, within the bound.
      this.#waiting = [...lines, ...this.#waiting];
      this.#keepNewest();
    } finally {
      this.#sending = false;
      this.#schedule();
    }
  }
}

/** Kept for longer by the gateway. */
function isDenied(event: SecurityEvent): boolean {
  return "action" in event && event.action === "denied";
}

async function* batches(sandboxId: string, lines: readonly SandboxLogLine[]): AsyncGenerator<PushSandboxLogsRequest> {
  for (let start = 0; start < lines.length; start += BATCH_LINES) {
    yield create(PushSandboxLogsRequestSchema, { sandboxId, logs: lines.slice(start, start + BATCH_LINES) });
  }
}
