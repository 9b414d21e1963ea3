import type { OriginRequest } from "../http1/origin-request.ts";
import type { Refusal } from "../http1/refused.ts";
import type { Answer, Ruling, StreamInspector } from "./ruling.ts";

/** Decides and answers for the requests of one connection. */
export interface Gate {
  rule(request: OriginRequest): Ruling;
  /** Whether bytes behind an upgrade may go on to pass unread. */
  stillAllowed(request: OriginRequest): boolean;
  /** Whether a request under way may go on under the policy in force now, as far as its head tells. */
  mayGoOn(request: OriginRequest): boolean;
  unreadable(refusal: Refusal): Answer;
  badGateway(problem: string): Answer;
  switched(request: OriginRequest, inspector: StreamInspector | undefined): void;
}

/** What is known about the TLS of the client when its requests begin. */
export interface Secured {
  readonly scheme: "http" | "https";
  /** Why the client means another server; undefined: it does not. */
  readonly misdirected: string | undefined;
}
