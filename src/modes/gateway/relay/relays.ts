import { randomUUID } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { OpenShellError } from "../../../error.ts";
import { AsyncQueue } from "../../../rpc/async-queue.ts";
import { Ending } from "../../../rpc/ending.ts";
import { type RelayFrame, RelayFrameSchema, type RelayOpenSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { SandboxPrincipal } from "../auth/principal.ts";

import type { Session, SessionRegistry } from "./sessions.ts";

/** A supervisor that is starting or reconnecting gets this long to be there. */
export const SESSION_WAIT_MS = 15_000;
/** A supervisor that was asked for a channel gets this long to open it. */
export const CLAIM_WAIT_MS = 10_000;
/** Channels that wait to be claimed, over all and per sandbox: each holds a caller. */
const MAX_PENDING = 256;
const MAX_PENDING_PER_SANDBOX = 32;
/** Frames towards the supervisor that may wait; at 64 KiB each, 1 MiB per channel. */
const FRAMES_QUEUED = 16;

type Target = NonNullable<MessageInitShape<typeof RelayOpenSchema>["target"]>;

/** One channel into a sandbox, as its opener sees it. */
export interface Relay {
  readonly channelId: string;
  /** What comes from the sandbox; ends when the supervisor ends the channel or after `close`. */
  readonly frames: AsyncIterable<RelayFrame>;
  /** Sends a frame when there is room; false once the channel has ended. */
  send(payload: NonNullable<MessageInitShape<typeof RelayFrameSchema>["payload"]>): Promise<boolean>;
  /** Ends the channel from this side. */
  close(reason: string): void;
}

/** Called on the way to a channel: before the supervisor is asked for it, and when the supervisor has refused it. */
export interface OpenSteps {
  asked(): void;
  refused(): void;
}

interface Pending {
  readonly sandboxId: string;
  readonly target: Target;
  readonly claimed: (relay: Relay) => void;
  readonly failed: (error: OpenShellError) => void;
}

/** Joins a caller of the gateway with a RelayStream that the supervisor opens on request. */
export class RelayRegistry {
  readonly #sessions: SessionRegistry;
  readonly #pending = new Map<string, Pending>();

  constructor(sessions: SessionRegistry) {
    this.#sessions = sessions;
  }

  /** Opens a channel to a target in the sandbox; `unavailable`, `deadline_exceeded` or `resource_exhausted` when it cannot. */
  async open(sandboxId: string, target: Target, signal: AbortSignal, steps?: OpenSteps): Promise<Relay> {
    const ofSandbox = [...this.#pending.values()].filter((pending) => pending.sandboxId === sandboxId).length;
    if (this.#pending.size >= MAX_PENDING || ofSandbox >= MAX_PENDING_PER_SANDBOX) {
      throw new OpenShellError(
        "resource_exhausted",
        `${ofSandbox} channels of this sandbox are being opened, at most ${MAX_PENDING_PER_SANDBOX} may`,
      );
    }
    const session = await this.#sessions.waitLive(sandboxId, SESSION_WAIT_MS, signal);
    steps?.asked();
    const channelId = randomUUID();
    const waiting = Promise.withResolvers<Relay>();
    const timer = setTimeout(
      () =>
        waiting.reject(new OpenShellError("deadline_exceeded", `the supervisor did not open the channel within ${CLAIM_WAIT_MS / 1000} s`)),
      CLAIM_WAIT_MS,
    );
    const cancelled = (): void => waiting.reject(new OpenShellError("aborted", "the caller went away"));
    signal.addEventListener("abort", cancelled, { once: true });
    const failed = (error: OpenShellError): void => {
      steps?.refused();
      waiting.reject(error);
    };
    this.#pending.set(channelId, { sandboxId, target, claimed: waiting.resolve, failed });
    sendOpen(session, channelId, target);
    try {
      return await waiting.promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", cancelled);
      this.#pending.delete(channelId);
    }
  }

  /** The RelayStream of a supervisor: claims a channel by its first frame, then carries frames both ways. */
  async *accept(principal: SandboxPrincipal, frames: AsyncIterable<RelayFrame>, signal: AbortSignal): AsyncGenerator<RelayFrame> {
    const incoming = frames[Symbol.asyncIterator]();
    const first = await incoming.next();
    const init = first.done === true ? undefined : first.value.payload;
    if (init?.case !== "init") throw new OpenShellError("invalid_argument", "the first frame of a relay is init");
    const pending = this.#pending.get(init.value.channelId);
    // A channel of another sandbox answers like one that does not exist.
    if (pending === undefined || pending.sandboxId !== principal.sandboxId) throw new OpenShellError("not_found", "no such channel");
    this.#pending.delete(init.value.channelId);
    const outgoing = new AsyncQueue<RelayFrame>();
    const ended = Promise.withResolvers<void>();
    const end = (): void => {
      outgoing.close();
      ended.resolve();
    };
    signal.addEventListener("abort", end, { once: true });
    pending.claimed({
      channelId: init.value.channelId,
      frames: until(ended.promise, incoming),
      send: async (payload) => {
        await outgoing.below(FRAMES_QUEUED);
        return outgoing.push(create(RelayFrameSchema, { payload }));
      },
      close: end,
    });
    try {
      yield* outgoing;
    } finally {
      signal.removeEventListener("abort", end);
      end();
    }
  }

  /** The supervisor says that it cannot open a channel. */
  refused(sandboxId: string, channelId: string, error: string): void {
    const pending = this.#pending.get(channelId);
    if (pending?.sandboxId === sandboxId)
      pending.failed(new OpenShellError("unavailable", error === "" ? "the supervisor refused the channel" : error));
  }

  /** Asks a supervisor that has just connected for the channels that its predecessor did not open. */
  replay(session: Session): void {
    for (const [channelId, pending] of this.#pending)
      if (pending.sandboxId === session.sandboxId) sendOpen(session, channelId, pending.target);
  }
}

function sendOpen(session: Session, channelId: string, target: Target): void {
  session.send({ case: "relayOpen", value: { channelId, target } });
}

/** Items of an iterator until it ends or `ended` settles, whichever is first: a dead peer must not hold its reader. */
async function* until<T>(ended: Promise<void>, items: AsyncIterator<T>): AsyncGenerator<T> {
  const ending = new Ending(ended.then(() => ({ done: true as const, value: undefined })));
  while (true) {
    const next = await ending.race(items.next());
    if (next.done === true) return;
    yield next.value;
  }
}
