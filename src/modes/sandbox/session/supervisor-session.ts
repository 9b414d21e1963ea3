import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { AsyncQueue } from "../../../rpc/async-queue.ts";
import {
  type ConfigUpdate,
  type ConfigUpdateResultSchema,
  type GatewayMessage,
  type RelayOpen,
  type SupervisorHelloSchema,
  type SupervisorMessage,
  SupervisorMessageSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { GatewayClient } from "./gateway-client.ts";

/** Reconnect delays: quick after a blip, patient when the gateway is away. Milliseconds. */
const FIRST_DELAY = 250;
const LONGEST_DELAY = 5_000;

/** Used until the gateway says otherwise. Milliseconds. */
const DEFAULT_HEARTBEAT = 15_000;

/**
 * A gateway that is there accepts at once; one to which a thousand come back together takes longer, and would never be done if all gave up and
 * began again. So every further attempt waits twice as long. Milliseconds.
 */
const ACCEPT_TIME = 10_000;
const LONGEST_ACCEPT_TIME = 80_000;

/** A session without any message for this many heartbeats is dead. */
const MISSED_HEARTBEATS = 3;

export interface SessionHandlers {
  hello(): MessageInitShape<typeof SupervisorHelloSchema>;
  applyConfig(update: ConfigUpdate): Promise<MessageInitShape<typeof ConfigUpdateResultSchema>>;
  /** Starts a relay; rejects when it cannot. */
  openRelay(open: RelayOpen): Promise<void>;
  connected(sessionId: string): void;
  disconnected(reason: string): void;
}

/** The one long-lived stream to the gateway; reconnects until stopped. Enforcement never waits for it. */
export class SupervisorSession {
  readonly #client: GatewayClient;
  readonly #handlers: SessionHandlers;
  readonly #stop = new AbortController();
  #epoch = 0n;

  constructor(client: GatewayClient, handlers: SessionHandlers) {
    this.#client = client;
    this.#handlers = handlers;
  }

  stop(): void {
    this.#stop.abort();
  }

  async run(): Promise<void> {
    let delay = FIRST_DELAY;
    let patience = ACCEPT_TIME;
    while (!this.#stop.signal.aborted) {
      let reason = "the gateway closed the session";
      try {
        await this.#connectOnce(patience, () => {
          // It was there: the next loss is a new one, not a further failure.
          delay = FIRST_DELAY;
          patience = ACCEPT_TIME / 2;
        });
      } catch (error) {
        reason = error instanceof Error ? error.message : String(error);
      }
      if (this.#stop.signal.aborted) return;
      this.#handlers.disconnected(reason);
      await pause(delay * (0.5 + Math.random() / 2), this.#stop.signal);
      delay = Math.min(delay * 2, LONGEST_DELAY);
      patience = Math.min(patience * 2, LONGEST_ACCEPT_TIME);
    }
  }

  async #connectOnce(patience: number, accepted: () => void): Promise<void> {
    const abort = new AbortController();
    const onStop = () => abort.abort();
    this.#stop.signal.addEventListener("abort", onStop, { once: true });
    const outgoing = new AsyncQueue<SupervisorMessage>();
    const send = (payload: MessageInitShape<typeof SupervisorMessageSchema>["payload"]) => {
      outgoing.push(create(SupervisorMessageSchema, payload === undefined ? {} : { payload }));
    };
    this.#epoch += 1n;
    send({ case: "hello", value: { ...this.#handlers.hello(), connectionEpoch: this.#epoch, supportsConfigPush: true } });

    let interval = DEFAULT_HEARTBEAT;
    let heard = performance.now(); // goes on evenly when the time of day is set
    let heartbeat: ReturnType<typeof setInterval> | undefined;
    const beat = () => {
      if (performance.now() - heard > interval * MISSED_HEARTBEATS) abort.abort();
      else send({ case: "heartbeat", value: {} });
    };
    const unaccepted = setTimeout(() => abort.abort(), patience);
    try {
      for await (const message of this.#client.connectSupervisor(outgoing, { signal: abort.signal })) {
        heard = performance.now();
        if (message.payload.case === "sessionAccepted") {
          const { heartbeatInterval, sessionId } = message.payload.value;
          if (heartbeatInterval) interval = Number(heartbeatInterval.seconds) * 1000 || DEFAULT_HEARTBEAT;
          heartbeat = setInterval(beat, interval);
          clearTimeout(unaccepted);
          accepted();
          this.#handlers.connected(sessionId);
        }
        this.#handle(message, send);
      }
    } finally {
      clearTimeout(unaccepted);
      clearInterval(heartbeat);
      outgoing.close();
      abort.abort();
      this.#stop.signal.removeEventListener("abort", onStop);
    }
  }

  #handle(message: GatewayMessage, send: (payload: MessageInitShape<typeof SupervisorMessageSchema>["payload"]) => void): void {
    const { payload } = message;
    const apply = async (update: ConfigUpdate) => send({ case: "configUpdateResult", value: await this.#handlers.applyConfig(update) });
    switch (payload.case) {
      case "sessionAccepted":
        if (payload.value.bootstrap) void apply(payload.value.bootstrap);
        return;
      case "sessionRejected":
        throw new Error(`the gateway rejected the session: ${payload.value.reason}`);
      case "configUpdate":
        void apply(payload.value);
        return;
      case "relayOpen": {
        const { channelId } = payload.value;
        this.#handlers.openRelay(payload.value).catch((error: unknown) => {
          const reason = error instanceof Error ? error.message : String(error);
          send({ case: "relayOpenResult", value: { channelId, success: false, error: reason } });
        });
        return;
      }
    }
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done, { once: true });
  });
}
