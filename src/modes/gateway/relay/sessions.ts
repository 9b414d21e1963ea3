import { randomUUID } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { OpenShellError } from "../../../error.ts";
import { AsyncQueue } from "../../../rpc/async-queue.ts";
import type { GetInferenceBundleResponse } from "../../../rpc/gen/openshell/inference/v1/bundle_pb.ts";
import type { SandboxConfigSnapshot } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import {
  type ConfigUpdateResult,
  type GatewayMessage,
  GatewayMessageSchema,
  type ProviderEnvironmentSnapshot,
  type ProviderReadinessObservation,
  type SupervisorHello,
  type SupervisorMessage,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { SandboxPrincipal } from "../auth/principal.ts";

/** A supervisor says something at least this often, and is answered at once: one message each way, and each side wakes once for both. */
export const HEARTBEAT_MS = 15_000;
/** How often all sessions are looked at: whether one is silent, or was told nothing for longer than its supervisor's heartbeats take. */
const LOOK_MS = 5_000;
/** A supervisor that says nothing for three heartbeats is gone. */
const SILENCE_MS = 3 * HEARTBEAT_MS;
/** Messages that may wait for a supervisor that does not read; each configuration update counts as one. */
const OUTBOX_LIMIT = 512;
/** A supervisor takes up a configuration in milliseconds; for one that says nothing for so long the next does not wait. Milliseconds. */
const ANSWER_TIME = 10_000;
/** Configurations that are made in one turn: about 10 ms. */
const PUSHED_AT_ONCE = 32;

export interface Session {
  readonly id: string;
  readonly sandboxId: string;
  readonly instanceId: string;
  readonly hello: SupervisorHello;
  /** The newest report of the supervisor on its providers. */
  readiness?: ProviderReadinessObservation;
  /** Queues a message for the supervisor; a full queue ends the session. */
  send(payload: NonNullable<MessageInitShape<typeof GatewayMessageSchema>["payload"]>): void;
}

/** Everything that a supervisor works from. */
export interface SessionConfiguration {
  readonly sandboxConfig: SandboxConfigSnapshot;
  /** Secrets in clear, for the session of this sandbox alone (decision 22). */
  readonly providerEnvironment: ProviderEnvironmentSnapshot;
  /** Routes with their credentials, for the session of this sandbox alone. */
  readonly inferenceBundle: GetInferenceBundleResponse;
}

/** What the registry needs of the gateway, and tells it. */
export interface SessionHost {
  /** The instance that may speak for a sandbox; undefined when the sandbox is gone or not wanted to run. */
  instanceOf(sandboxId: string): string | undefined;
  configuration(sandboxId: string): SessionConfiguration;
  connected(session: Session): void;
  disconnected(session: Session): void;
  configResult(session: Session, result: ConfigUpdateResult, version: number | undefined): void;
  /** Messages about relays. */
  relayMessage(session: Session, payload: Extract<SupervisorMessage["payload"], { case: "relayOpenResult" | "relayClose" }>): void;
}

interface Live extends Session {
  readonly outbox: AsyncQueue<GatewayMessage>;
  readonly pushesConfig: boolean;
  /** The newest update with a policy, while it has no result. */
  unanswered: { readonly updateId: string; readonly since: number } | undefined;
  /** Something changed since that update. */
  behind: boolean;
  /** Policy version carried by each update that has no result yet. */
  readonly pending: Map<string, number>;
  /** By a clock that only goes forward: nobody is silent because the time of day was set. */
  lastHeard: number;
  lastSaid: number;
  end(): void;
}

/** At most one live session per sandbox; a new one takes the place of the old. */
export class SessionRegistry {
  readonly #live = new Map<string, Live>();
  readonly #waiting = new Map<string, Set<() => void>>();
  #host: SessionHost | undefined;
  /** One for all of them, while there are any. */
  #looking: ReturnType<typeof setInterval> | undefined;

  /** Set once at start; the registry and the gateway's services need each other. */
  attach(host: SessionHost): void {
    this.#host = host;
  }

  /** Supervisors that are connected. */
  get size(): number {
    return this.#live.size;
  }

  get(sandboxId: string): Session | undefined {
    return this.#live.get(sandboxId);
  }

  /** The ConnectSupervisor stream: a hello, then messages both ways until one side ends. */
  async *connect(
    principal: SandboxPrincipal,
    messages: AsyncIterable<SupervisorMessage>,
    signal: AbortSignal,
  ): AsyncGenerator<GatewayMessage> {
    const host = this.#requireHost();
    const incoming = messages[Symbol.asyncIterator]();
    const first = await incoming.next();
    const hello = first.done === true ? undefined : first.value.payload;
    if (hello?.case !== "hello") throw new OpenShellError("invalid_argument", "the first message of a session is hello");
    if (host.instanceOf(principal.sandboxId) !== hello.value.instanceId) {
      const reason = "this supervisor is not the one the gateway started for the sandbox";
      yield create(GatewayMessageSchema, { payload: { case: "sessionRejected", value: { reason } } });
      return;
    }
    const session = this.#accept(principal.sandboxId, hello.value);
    const stop = (): void => session.end();
    signal.addEventListener("abort", stop, { once: true });
    void this.#read(session, incoming).finally(stop);
    try {
      yield* session.outbox;
    } finally {
      signal.removeEventListener("abort", stop);
      session.end();
    }
  }

  /** The session of a sandbox, waiting up to `timeoutMs` for one; `unavailable` when none comes. */
  async waitLive(sandboxId: string, timeoutMs: number, signal: AbortSignal): Promise<Session> {
    const live = this.#live.get(sandboxId);
    if (live !== undefined) return live;
    const waiting = this.#waiting.get(sandboxId) ?? new Set();
    this.#waiting.set(sandboxId, waiting);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, timeoutMs);
      function done(): void {
        clearTimeout(timer);
        waiting.delete(done);
        signal.removeEventListener("abort", done);
        resolve();
      }
      waiting.add(done);
      signal.addEventListener("abort", done, { once: true });
    });
    if (waiting.size === 0) this.#waiting.delete(sandboxId);
    const session = this.#live.get(sandboxId);
    if (session !== undefined) return session;
    throw new OpenShellError("unavailable", "the sandbox's supervisor is not connected", { next: "openshell sandbox get shows why" });
  }

  /**
   * Sends the current configuration to a connected supervisor; nothing otherwise: it gets it when it connects. Every update carries all, so there
   * is one on its way at a time: what changes meanwhile goes, as it is then, when that one was answered. However fast people change policies,
   * nothing else waits behind their pile.
   */
  pushConfig(sandboxId: string): void {
    const session = this.#live.get(sandboxId);
    if (!session?.pushesConfig) return;
    if (session.unanswered !== undefined && performance.now() - session.unanswered.since < ANSWER_TIME) session.behind = true;
    else session.send({ case: "configUpdate", value: this.#update(session) });
  }

  /** The same for every one that is connected now, some at a time: other calls are answered meanwhile. */
  pushConfigToAll(): void {
    const sandboxIds = [...this.#live.keys()];
    const pushSome = (): void => {
      for (const sandboxId of sandboxIds.splice(0, PUSHED_AT_ONCE)) {
        try {
          this.pushConfig(sandboxId);
        } catch {
          // What it should have cannot be read, or it has just gone: it asks by itself.
        }
      }
      if (sandboxIds.length > 0) setImmediate(pushSome);
    };
    pushSome();
  }

  end(sandboxId: string): void {
    this.#live.get(sandboxId)?.end();
  }

  endAll(): void {
    for (const session of [...this.#live.values()]) session.end();
    clearInterval(this.#looking);
    this.#looking = undefined;
  }

  #accept(sandboxId: string, hello: SupervisorHello): Live {
    const host = this.#requireHost();
    const outbox = new AsyncQueue<GatewayMessage>();
    const session: Live = {
      id: randomUUID(),
      sandboxId,
      instanceId: hello.instanceId,
      hello,
      outbox,
      pushesConfig: hello.supportsConfigPush,
      unanswered: undefined,
      behind: false,
      pending: new Map(),
      lastHeard: performance.now(),
      lastSaid: performance.now(),
      send: (payload) => {
        session.lastSaid = performance.now();
        if (outbox.length >= OUTBOX_LIMIT) session.end();
        else outbox.push(create(GatewayMessageSchema, { payload }));
      },
      end: () => {
        outbox.close();
        if (this.#live.get(sandboxId) !== session) return;
        this.#live.delete(sandboxId);
        host.disconnected(session);
      },
    };
    const old = this.#live.get(sandboxId);
    this.#live.set(sandboxId, session);
    this.#looking ??= setInterval(() => this.#look(), LOOK_MS);
    old?.outbox.close(); // superseded: its stream ends, the sandbox never counts as disconnected
    try {
      session.send({
        case: "sessionAccepted",
        value: {
          sessionId: session.id,
          heartbeatInterval: durationFromMs(HEARTBEAT_MS),
          configPushEnabled: session.pushesConfig,
          ...(session.pushesConfig ? { bootstrap: this.#update(session) } : {}),
        },
      });
      host.connected(session);
    } catch (error) {
      // Nobody would read what is sent to it.
      session.end();
      throw error;
    }
    for (const wake of [...(this.#waiting.get(sandboxId) ?? [])]) wake();
    return session;
  }

  #look(): void {
    const now = performance.now();
    for (const session of [...this.#live.values()]) {
      if (now - session.lastHeard > SILENCE_MS) session.end();
      else if (now - session.lastSaid > HEARTBEAT_MS) session.send({ case: "heartbeat", value: {} });
    }
    if (this.#live.size > 0) return;
    clearInterval(this.#looking);
    this.#looking = undefined;
  }

  async #read(session: Live, incoming: AsyncIterator<SupervisorMessage>): Promise<void> {
    const host = this.#requireHost();
    try {
      for (let next = await incoming.next(); next.done !== true; next = await incoming.next()) {
        session.lastHeard = performance.now();
        const { payload } = next.value;
        if (payload.case === "configUpdateResult") {
          const version = session.pending.get(payload.value.updateId);
          session.pending.delete(payload.value.updateId);
          const newest = session.unanswered?.updateId === payload.value.updateId;
          if (newest) session.unanswered = undefined;
          host.configResult(session, payload.value, version);
          if (newest && session.behind && this.#live.get(session.sandboxId) === session) this.pushConfig(session.sandboxId);
        } else if (payload.case === "relayOpenResult" || payload.case === "relayClose") {
          host.relayMessage(session, payload);
        } else if (payload.case === "heartbeat") {
          session.send({ case: "heartbeat", value: {} });
        }
      }
    } catch {
      // The stream broke: the supervisor connects again by itself.
    }
  }

  #update(session: Live): SessionConfiguration & { readonly updateId: string } {
    const configuration = this.#requireHost().configuration(session.sandboxId);
    const updateId = randomUUID();
    const { version } = configuration.sandboxConfig;
    session.pending.set(updateId, version);
    session.behind = false;
    // Without a policy there is nothing to take up, and not everybody answers that.
    session.unanswered = version > 0 ? { updateId, since: performance.now() } : undefined;
    if (session.pending.size > OUTBOX_LIMIT) session.pending.delete(session.pending.keys().next().value ?? "");
    return { updateId, ...configuration };
  }

  #requireHost(): SessionHost {
    if (this.#host === undefined) throw new OpenShellError("unavailable", "the gateway is starting");
    return this.#host;
  }
}
