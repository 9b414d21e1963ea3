import type { DraftPolicyUpdate, PlatformEvent, SandboxLogLine } from "../../rpc/gen/openshell/v1/openshell_pb.ts";

/** What watchers of a sandbox hear of; `status` says only that it changed, a reader fetches the current state. */
export type BusPayload =
  | { readonly case: "status" }
  | { readonly case: "log"; readonly value: SandboxLogLine }
  | { readonly case: "event"; readonly value: PlatformEvent }
  | { readonly case: "draftPolicyUpdate"; readonly value: DraftPolicyUpdate };

export interface BusEvent {
  /** Counts up per sandbox from 1. */
  readonly sequence: number;
  readonly payload: BusPayload;
}

export interface Listener {
  event(event: BusEvent): void;
  /** The sandbox is gone; nothing follows. */
  end(): void;
}

/** Events kept per sandbox, so that a watcher that lost its connection can go on from its cursor. */
export const EVENTS_KEPT = 1000;

interface Topic {
  sequence: number;
  readonly recent: BusEvent[];
  readonly listeners: Set<Listener>;
}

/** One stream of events per sandbox, in memory; never blocks the one who publishes. */
export class Bus {
  readonly #topics = new Map<string, Topic>();

  publish(sandboxId: string, payload: BusPayload): void {
    const topic = this.#topic(sandboxId);
    const event = { sequence: ++topic.sequence, payload };
    topic.recent.push(event);
    if (topic.recent.length > EVENTS_KEPT) topic.recent.shift();
    for (const listener of topic.listeners) listener.event(event);
  }

  subscribe(sandboxId: string, listener: Listener): () => void {
    const { listeners } = this.#topic(sandboxId);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** Sequence of the latest event; 0 before the first. */
  position(sandboxId: string): number {
    return this.#topics.get(sandboxId)?.sequence ?? 0;
  }

  /** Events after a sequence, or undefined when some of them are no longer kept or never were. */
  since(sandboxId: string, sequence: number): readonly BusEvent[] | undefined {
    const topic = this.#topic(sandboxId);
    const oldest = topic.sequence - topic.recent.length;
    if (sequence < oldest || sequence > topic.sequence) return undefined;
    return topic.recent.slice(sequence - oldest);
  }

  recent(sandboxId: string): readonly BusEvent[] {
    return this.#topics.get(sandboxId)?.recent ?? [];
  }

  /** Ends every watch of a deleted sandbox and forgets it. */
  end(sandboxId: string): void {
    const topic = this.#topics.get(sandboxId);
    this.#topics.delete(sandboxId);
    for (const listener of topic?.listeners ?? []) listener.end();
  }

  #topic(sandboxId: string): Topic {
    let topic = this.#topics.get(sandboxId);
    if (topic === undefined) {
      topic = { sequence: 0, recent: [], listeners: new Set() };
      this.#topics.set(sandboxId, topic);
    }
    return topic;
  }
}
