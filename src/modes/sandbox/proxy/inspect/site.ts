import type { NetworkEvent, SqlEvent } from "../../../../events/event.ts";
import type { ProgramIdentity } from "../../box/contract.ts";
import type { EgressContext } from "../egress-context.ts";
import { actorOf } from "../identity.ts";
import type { Intent } from "../intent.ts";
import { type Hold, rulesOf } from "../one-time-rules.ts";
import { refusalResponse } from "../refusal.ts";
import { Repeats } from "../repeats.ts";
import type { StatementGate } from "../sql/watcher.ts";
import type { Verdict } from "../verdict.ts";
import type { Gate, Secured } from "./gate.ts";
import type { InspectionHost } from "./inspection.ts";
import { RequestGate } from "./request-gate.ts";

const NEXT_HTTP = "Use HTTP/1.1 on this connection, or ask the person who owns the sandbox for an endpoint without request rules.";

/** What an inspected connection needs of its accepted one. */
export interface SiteOwner {
  lasts(milliseconds: number): void;
  inspectionEnded(): void;
  /** What has just been let through is the one request of its rule. */
  usedRule(): void;
}

/** The surroundings of one inspected connection: who asks, for what, under which policy, and where events go. */
export class InspectionSite implements InspectionHost {
  readonly #intent: Intent;
  readonly #program: ProgramIdentity;
  readonly #verdict: Verdict & { allowed: true };
  readonly #context: EgressContext;
  readonly #owner: SiteOwner;

  constructor(intent: Intent, program: ProgramIdentity, verdict: Verdict & { allowed: true }, context: EgressContext, owner: SiteOwner) {
    this.#intent = intent;
    this.#program = program;
    this.#verdict = verdict;
    this.#context = context;
    this.#owner = owner;
  }

  gate(secured: Secured): Gate {
    const { local } = this.#verdict;
    if (local !== undefined) return local.gate(this.#program, this.#intent.authority, secured);
    const { scheme, misdirected } = secured;
    const { engine, emit, answered, credentials } = this.#context;
    const { policy, sha256 } = this.#verdict;
    return new RequestGate({
      engine,
      emit,
      answered,
      credentials,
      authority: this.#intent.authority,
      scheme,
      program: this.#program,
      sha256,
      policy,
      misdirected,
      use: (rules) => this.#use(rules) === "used",
    });
  }

  statements(database: string): StatementGate {
    const { engine, emit } = this.#context;
    const { host, port } = this.#intent.authority;
    const { exe, ancestors } = this.#program;
    const about = { kind: "sql", host, port, database, actor: actorOf(this.#program, this.#verdict.sha256), engine: "l7" } as const;
    const repeats = new Repeats<SqlEvent>((event) => emit({ ...event, time: Date.now() }));
    return {
      ask: (command) => {
        const decision = engine.decideRequest({ host, port, exe, ancestors, request: { kind: "sql", command } });
        if (decision.action !== "deny" && decision.policy !== undefined) this.#use([decision.policy]);
        return decision;
      },
      emit: (event) => repeats.tell({ ...about, time: 0, ...event }),
      ended: () => repeats.end(),
    };
  }

  lasts(milliseconds: number): void {
    this.#owner.lasts(milliseconds);
  }

  inspectionEnded(): void {
    this.#owner.inspectionEnded();
  }

  refusedBytes(code: string, reason: string): void {
    this.#emit({ ...this.#about(), severity: "medium", activity: "close", action: "denied", code, reason });
  }

  passesUnread(): boolean {
    return this.#use(rulesOf(this.#verdict.endpoints)) !== "gone";
  }

  audited(code: string, reason: string): void {
    this.#emit({ ...this.#about(), severity: "low", activity: "open", action: "allowed", code, reason });
  }

  unsupported(reason: string): Buffer {
    return refusalResponse({
      status: 403,
      error: "unsupported_l7_protocol",
      detail: reason,
      layer: "l7",
      authority: this.#intent.authority,
      binary: this.#program.exe,
      policy: this.#verdict.policy,
      reason: "unsupported_l7_protocol",
      nextSteps: [NEXT_HTTP],
    });
  }

  #use(rules: readonly string[]): Hold {
    const hold = this.#context.oneTime.use(rules);
    if (hold === "used") this.#owner.usedRule();
    return hold;
  }

  #about(): Omit<NetworkEvent, "severity" | "activity" | "action"> {
    const { host, port } = this.#intent.authority;
    const { policy, sha256 } = this.#verdict;
    return { kind: "network", time: Date.now(), host, port, protocol: "tcp", policy, engine: "tls", actor: actorOf(this.#program, sha256) };
  }

  #emit(event: NetworkEvent): void {
    this.#context.emit(event);
  }
}
