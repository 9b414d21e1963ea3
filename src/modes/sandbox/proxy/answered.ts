/** A server has answered a request that was let through: no decision, so no event of the log. */
export interface ServerAnswered {
  readonly host: string;
  readonly port: number;
  /** The rule that let the request through. */
  readonly policy: string;
  /** Of the final head; 101 where another protocol follows. */
  readonly status: number;
}

/** Told of answers, of like ones in a row on one connection only of the first; must not block or throw. */
export type AnsweredSink = (answered: ServerAnswered) => void;
