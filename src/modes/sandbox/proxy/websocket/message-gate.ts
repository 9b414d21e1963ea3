import type { GraphqlFacts, HttpFacts, RequestDecision, WebSocketTextFacts } from "../../../../engine/decision.ts";
import { DEFAULT_BODY_BYTES } from "../../../../engine/request.ts";
import type { HttpEvent } from "../../../../events/event.ts";
import { readGraphqlMessage } from "../bodies/graphql-message.ts";
import { type Read, reading } from "../bodies/unreadable.ts";
import { Repeats } from "../repeats.ts";
import type { MessageJudge, MessageVerdict } from "./inspector.ts";
import type { TextMessage } from "./text-message.ts";

/** Another text for the server, or why the message must not go. */
export type TextRewrite = { readonly text: string } | { readonly refused: string };

/** What rules about messages see of the request that was upgraded. */
export type UpgradeFacts = Pick<HttpFacts, "path" | "query" | "splitQuery">;

/** A text message behind that request. */
export function textFacts({ path, query, splitQuery }: UpgradeFacts): WebSocketTextFacts {
  return { kind: "websocket_text", path, query, ...(splitQuery && { splitQuery }) };
}

type MessageEvent = Pick<HttpEvent, "severity" | "action" | "method" | "policy" | "stage" | "code" | "reason" | "asked">;

/** What the messages of one connection are decided with. */
export interface MessageGateSetup {
  /** The request that was upgraded. */
  readonly upgrade: UpgradeFacts;
  /** Counts policies. */
  generation(): number;
  ask(facts: WebSocketTextFacts): RequestDecision;
  /** Whether the connection may stay under the policy in force. */
  stillAllowed(): boolean;
  emit(event: MessageEvent): void;
  /** Puts credentials in the place of what stands for them; sees only what policy lets through. */
  readonly rewriteText?: ((text: string) => TextRewrite) | undefined;
}

/** Stands for a stored operation that no policy knows. */
const UNKNOWN_OPERATION: GraphqlFacts = { persisted: "-" };

/** Decides the messages of one WebSocket connection, each under the policy in force when it has come as a whole. */
export class MessageGate implements MessageJudge {
  readonly #setup: MessageGateSetup;
  readonly #told: Repeats<MessageEvent>;
  #generation = -1;
  /** Bytes of a message that may be read, where rules are about what it asks for; undefined where they are not. */
  #readable: number | undefined;

  constructor(setup: MessageGateSetup) {
    this.#setup = setup;
    this.#told = new Repeats((event) => setup.emit(event));
  }

  judge(message: TextMessage | undefined): MessageVerdict {
    const method = message === undefined ? "WEBSOCKET_BINARY" : "WEBSOCKET_TEXT";
    const read = message === undefined ? NOT_READ : this.#read(message);
    if (read.kind === "unreadable") {
      const { code, reason } = read;
      this.#told.tell({ severity: "low", action: "denied", method, code, reason });
      return { allowed: false, reason };
    }
    const decision = this.#ask(read.facts);
    const { action, code, reason, policy } = decision;
    const because = { ...(policy !== undefined && { policy }), ...(code !== undefined && { code, reason }) };
    if (action === "deny") {
      const { protocol, path: selector } = decision.endpoint ?? { protocol: "", path: "" };
      const asked = { protocol, selector, ...(read.facts && { graphql: read.facts }) };
      this.#told.tell({ severity: "medium", action: "denied", method, stage: "l7_deny", ...because, asked });
      return { allowed: false, reason };
    }
    const rewritten = message === undefined ? undefined : this.#setup.rewriteText?.(message.text);
    if (rewritten !== undefined && "refused" in rewritten) {
      this.#told.tell({ severity: "medium", action: "denied", method, ...because, code: "credential_refused", reason: rewritten.refused });
      return { allowed: false, reason: rewritten.refused };
    }
    const audited = action === "audit";
    this.#told.tell({
      severity: audited ? "low" : "informational",
      action: "allowed",
      method,
      ...because,
      ...(audited && { stage: "l7_audit" }),
    });
    return rewritten === undefined ? { allowed: true } : { allowed: true, text: rewritten.text };
  }

  violated(reason: string): void {
    this.#told.tell({ severity: "low", action: "denied", method: "WEBSOCKET", code: "websocket_protocol", reason });
  }

  ended(): void {
    this.#told.end();
  }

  stillAllowed(): boolean {
    return this.#setup.stillAllowed();
  }

  #ask(graphql: readonly GraphqlFacts[] | undefined): RequestDecision {
    return this.#setup.ask({ ...textFacts(this.#setup.upgrade), ...(graphql !== undefined && { graphql }) });
  }

  /** Where rules are about operations, what cannot be read is refused: the server may read it. */
  #read(message: TextMessage): Read<readonly GraphqlFacts[] | undefined> {
    const limit = this.#readableBytes();
    if (limit === undefined) return NOT_READ;
    const size = message.bytes.length;
    if (size <= limit) return reading(() => readGraphqlMessage(message.text));
    const reason = `message of ${size} bytes, at most ${limit} are read by rules about GraphQL`;
    return { kind: "unreadable", status: 413, code: "message_too_large", reason };
  }

  /** Whether the answer depends on what a message asks for is found by asking with nothing, with no operation, and with an unknown one. */
  #readableBytes(): number | undefined {
    const generation = this.#setup.generation();
    if (this.#generation === generation) return this.#readable;
    const answers = [this.#ask(undefined), this.#ask([]), this.#ask([UNKNOWN_OPERATION])];
    const [first] = answers;
    const depends = answers.some(({ action, code }) => action !== first?.action || code !== first?.code);
    const limits = answers.map(({ endpoint }) => endpoint?.graphqlMaxBodyBytes || DEFAULT_BODY_BYTES);
    this.#readable = depends ? Math.min(...limits) : undefined;
    this.#generation = generation;
    return this.#readable;
  }
}

const NOT_READ = { kind: "read", facts: undefined } as const;
