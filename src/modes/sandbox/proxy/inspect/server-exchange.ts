import type { Field } from "../http1/fields.ts";

/** One request under way at a server, whatever version of HTTP that speaks. */
export interface ServerExchange {
  /** Bytes of the body that have not been sent yet. */
  readonly queued: number;
  write(bytes: Buffer): void;
  /** The end of the body. */
  end(trailers: readonly Field[]): void;
  /** Nobody waits for the answer any more. */
  cancel(code: number): void;
  /** Bytes of the answer's body have been passed on. */
  consumed(size: number): void;
}

/** What becomes of it. */
export interface ServerExchangeEvents {
  /** The head has been sent; the body may follow. */
  serverOpened(server: ServerExchange): void;
  /** `queued` has become less. */
  serverProgress(): void;
  serverInterim(status: number, fields: readonly Field[]): void;
  /** `last`: no body and no trailers follow, nor `serverEnded`. */
  serverHead(status: number, fields: readonly Field[], last: boolean): void;
  serverData(bytes: Buffer): void;
  serverEnded(trailers: readonly Field[]): void;
  /** The answer is complete and the server wants no more of the request. */
  serverBodyUnwanted(): void;
  /** Nothing more will come, and the answer is not complete. */
  serverFailed(failure: Failure): void;
}

export interface Failure {
  /** For people. */
  readonly problem: string;
  /** How the server reset the stream; undefined: it was not a stream's end but a connection's, or no HTTP. */
  readonly code: number | undefined;
  /** The server has not begun with it: another connection may be tried. */
  readonly unprocessed: boolean;
}

/** Interim answers to one request; nobody needs more than a few `103 Early Hints`. */
export const MAX_INTERIM = 32;
