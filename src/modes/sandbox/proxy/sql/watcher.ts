import type { RequestDecision } from "../../../../engine/decision.ts";
import type { SqlEvent } from "../../../../events/event.ts";
import { ByteBudget } from "../byte-budget.ts";
import type { StreamInspector, StreamStep } from "../inspect/ruling.ts";
import { isTurnOver } from "../turns.ts";
import { MAX_QUERY_BYTES, PostgresClientMessages, type QueryListener } from "./client-messages.ts";
import { commandsOf, MAX_STATEMENTS } from "./statements.ts";

/** Asks the rules about statements, and tells of them. */
export interface StatementGate {
  ask(command: string): RequestDecision;
  /** The client is gone. */
  ended?(): void;
  emit(event: Pick<SqlEvent, "severity" | "action" | "command" | "policy" | "stage" | "code" | "reason">): void;
}

/** Query texts that are not complete yet, of all connections of the sandbox: sixteen of the longest. */
export const MAX_QUERIES_UNDER_WAY_BYTES = 16_777_216;
const underWay = new ByteBudget(MAX_QUERIES_UNDER_WAY_BYTES);

/** Statements that are told of in one go, as with messages (`MESSAGES_AT_ONCE`); those of one text are not cut. */
const STATEMENTS_AT_ONCE = 32;
const NO_BYTES = Buffer.alloc(0);
/** Stands for what a text that is not read may ask for. */
const UNREAD = "UNREAD";

/**
 * Tells of each statement that a PostgreSQL client sends, by its command; the bytes pass as they are. Rules about statements are for audit, so a
 * statement that none allows is told of and passes. Only what the policy in force refuses as a whole ends the connection, and before its last byte.
 */
export class SqlWatcher implements StreamInspector, QueryListener {
  readonly #gate: StatementGate;
  readonly #turnIsOver: () => boolean;
  readonly #messages: PostgresClientMessages;
  #over = false;
  #told = 0;

  /** `turnIsOver`: others wait. */
  constructor(gate: StatementGate, budget: ByteBudget = underWay, turnIsOver: () => boolean = isTurnOver) {
    this.#turnIsOver = turnIsOver;
    this.#gate = gate;
    this.#messages = new PostgresClientMessages(this, budget);
  }

  fromClient(bytes: Buffer): StreamStep {
    this.#told = 0;
    const rest = this.#over ? NO_BYTES : this.#messages.take(bytes);
    if (rest === undefined) {
      this.#gate.emit({ severity: "low", action: "denied", command: UNREAD, code: "sql_protocol", reason: "not the PostgreSQL protocol" });
      this.#over = true;
    }
    if (!this.#over && rest !== undefined && rest.length > 0) return { forward: bytes.subarray(0, bytes.length - rest.length), rest };
    if (!this.#over) return { forward: bytes };
    this.#messages.drop();
    return { forward: NO_BYTES, close: true };
  }

  ended(): void {
    this.#messages.drop();
    this.#gate.ended?.();
  }

  get full(): boolean {
    return this.#told >= STATEMENTS_AT_ONCE || (this.#told > 0 && this.#turnIsOver());
  }

  query(text: string): void {
    const { commands, more } = commandsOf(text);
    for (const command of commands) this.#statement(command);
    if (more) this.#unread(`more than ${MAX_STATEMENTS} statements in one query, at most ${MAX_STATEMENTS} are told of`);
  }

  functionCall(): void {
    this.#statement("FUNCTION");
  }

  unread(bytes: number): void {
    this.#unread(`a query of ${bytes} bytes is not read: at most ${MAX_QUERY_BYTES} are, and all under way together as far as memory goes`);
  }

  #unread(reason: string): void {
    this.#told++;
    if (!this.#over)
      this.#gate.emit({ severity: "low", action: "allowed", command: UNREAD, stage: "l7_audit", code: "statement_unread", reason });
  }

  #statement(command: string): void {
    this.#told++;
    if (this.#over) return;
    const { action, code, reason, policy } = this.#gate.ask(command);
    const because = { ...(policy !== undefined && { policy }), ...(code !== undefined && { code, reason }) };
    if (action === "deny") {
      this.#over = true;
      this.#gate.emit({ severity: "medium", action: "denied", command, stage: "l7_deny", ...because });
    } else if (action === "audit") {
      this.#gate.emit({ severity: "low", action: "allowed", command, stage: "l7_audit", ...because });
    } else {
      this.#gate.emit({ severity: "informational", action: "allowed", command, ...because });
    }
  }
}
