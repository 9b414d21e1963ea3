import type { OriginRequest } from "../http1/origin-request.ts";
import type { Refusal } from "../http1/refused.ts";
import type { EgressLimits } from "../limits.ts";
import { isTurnOver } from "../turns.ts";
import type { ConnectionEnds } from "./connection-ends.ts";
import { Conversation, type ConversationHost, type ConversationSetup, type EarlyBytes, type Phase } from "./conversation.ts";
import type { Gate } from "./gate.ts";
import type { Upgrade } from "./passage.ts";
import type { Answer, Ruling, StreamInspector } from "./ruling.ts";

export interface Http1Setup extends Omit<ConversationSetup, "connected"> {
  readonly ends: ConnectionEnds;
  readonly gate: Gate;
  readonly limits: Pick<EgressLimits, "headMs" | "bodyMs">;
}

export interface Http1Owner {
  /** The present state ends in `expire` after so many milliseconds; 0: never. */
  lasts(milliseconds: number): void;
  /** The last answer has been given. */
  finishClient(): void;
  abort(): void;
  /** From here on there are no requests. */
  upgraded(upgrade: Upgrade, early: EarlyBytes): void;
}

/** The requests of one client that speaks HTTP/1. */
export class Http1Requests implements ConversationHost {
  readonly conversation: Conversation;
  readonly #setup: Http1Setup;
  readonly #owner: Http1Owner;
  #phase: Phase = "idle";

  constructor(setup: Http1Setup, owner: Http1Owner) {
    this.#setup = setup;
    this.#owner = owner;
    this.conversation = new Conversation({ ...setup, connected: setup.ends.upstream.socket !== undefined, turnIsOver: isTurnOver }, this);
  }

  /** The present phase has lasted too long. */
  expire(): void {
    const { headMs, bodyMs } = this.#setup.limits;
    const late = this.#phase === "body" ? { what: "body", ms: bodyMs } : { what: "head", ms: headMs };
    const reason = `no complete request ${late.what} within ${late.ms} ms`;
    this.conversation.expire({ status: 408, code: `${late.what}_timeout`, reason });
  }

  // What the conversation asks for.

  rule(request: OriginRequest): Ruling {
    return this.#setup.gate.rule(request);
  }

  mayGoOn(request: OriginRequest): boolean {
    return this.#setup.gate.mayGoOn(request);
  }

  refuse(refusal: Refusal): Answer {
    return this.#setup.gate.unreadable(refusal);
  }

  badGateway(problem: string): Answer {
    return this.#setup.gate.badGateway(problem);
  }

  toClient(bytes: Buffer, owned = false): void {
    this.#setup.ends.toClient(bytes, owned);
  }

  toUpstream(bytes: Buffer, owned = false): void {
    this.#setup.ends.toUpstream(bytes, owned);
  }

  openUpstream(): void {
    const { ends, scheme } = this.#setup;
    ends.renewUp();
    ends.upstream.open(scheme);
  }

  dropUpstream(): void {
    const { ends } = this.#setup;
    ends.upstream.drop();
    ends.renewUp();
  }

  finishClient(): void {
    this.#owner.finishClient();
  }

  abort(): void {
    this.#owner.abort();
  }

  holdClient(): void {
    this.#setup.ends.clientValve.hold();
  }

  releaseClient(): void {
    this.#setup.ends.clientValve.release();
  }

  entered(phase: Phase): void {
    // A head that comes in pieces has its time from its first byte on.
    if (phase === "head" && this.#phase === "head") return;
    const { headMs, bodyMs } = this.#setup.limits;
    this.#phase = phase;
    this.#owner.lasts(phase === "head" ? headMs : phase === "body" ? bodyMs : 0);
  }

  switched(request: OriginRequest, inspector: StreamInspector | undefined, early: EarlyBytes): void {
    const { gate } = this.#setup;
    this.#owner.upgraded({ request, gate, inspector }, early);
  }
}
