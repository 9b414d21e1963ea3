import type { Field } from "../http1/fields.ts";
import type { OriginRequest } from "../http1/origin-request.ts";

/** A whole answer made here, before it has the form of a protocol version. Its length and the end of the connection are the writer's. */
export interface Answer {
  readonly status: number;
  readonly fields: readonly Field[];
  /** Left out of the answer to HEAD. */
  readonly body: Buffer;
  /** An HTTP/1 connection ends behind it. It also does when part of the request's body has not been read. */
  readonly close: boolean;
}

/** What was decided about one request; the same for every version of HTTP. */
export type Ruling = Forward | { readonly kind: "answer"; readonly answer: Answer } | Collect;

export interface Forward {
  readonly kind: "forward";
  /** Method, path, query and fields exactly as the server gets them; `Host`, framing and the fields of one hop are the writer's. */
  readonly request: OriginRequest;
  /** Goes instead of the client's body, with its own length. Without it, a collected body goes as it came. */
  readonly body?: Buffer;
  /** Changes the client's body as it passes; not together with `body`. */
  readonly content?: RequestBodyFilter;
  /** Sees the answer before the client does. */
  readonly response?: ResponseFilter;
  /** Told of the final status of the answer, when its head is there. */
  readonly answered?: (status: number) => void;
  /** Sees both directions once the server has agreed to the upgrade; without it they pass unread. */
  readonly stream?: StreamInspector;
}

/**
 * The whole body is needed before a decision. At most `limit` bytes (chunks decoded, content coding as it is) are kept; a longer one is
 * answered by `exceeded`. A client that waits for `100 Continue` is told to go on.
 */
export interface Collect {
  readonly kind: "collect";
  readonly limit: number;
  /** May ask for more again. A request without body gives an empty one. */
  ruled(body: Buffer): Ruling;
  exceeded(): Answer;
}

/** Changes the body of one request on its way to the server; all of it stays as long as it was. */
export interface RequestBodyFilter {
  /**
   * The bytes that the server gets for a piece of the body, without transfer coding; may hold some back until `last`, whose piece may be empty.
   * Throws a `HeadError` for a body that must not go on: the request ends with that answer, or in the middle.
   */
  body(piece: Buffer, last: boolean): Buffer;
  /** Nobody wants the rest. */
  drop(): void;
}

/** Changes an answer on its way to the client. */
export interface ResponseFilter {
  /**
   * The fields that the client gets: called for interim heads, for the head, and once more for trailer fields, with the head's status. Throws a
   * `HeadError` for a head whose answer must not pass: the client gets a 502.
   */
  head(status: number, fields: readonly Field[]): readonly Field[];
  /** The bytes that the client gets for a piece of the body; may hold some back until `last`, whose piece may be empty. */
  body?(chunk: Buffer, last: boolean): Buffer;
}

/** What becomes of bytes behind an upgrade. */
export interface StreamStep {
  /** Goes on to where the bytes were going. */
  readonly forward: Buffer;
  /** Nobody else has the memory of these. */
  readonly owned?: boolean;
  /** Goes back to who sent them. */
  readonly answer?: Buffer;
  /** Both connections end behind what is above. */
  readonly close?: boolean;
  /** Of a client's bytes, those that have not been looked at: they are given again when others have had their turn. */
  readonly rest?: Buffer;
}

/** Sees what passes after a change of protocol. */
export interface StreamInspector {
  fromClient(bytes: Buffer): StreamStep;
  fromServer?(bytes: Buffer): StreamStep;
  /** A new policy is in force: false ends the connection. Without it, the upgrade itself is decided again. */
  stillAllowed?(): boolean;
  /** The client is gone. */
  ended?(): void;
}

/** A field as we write it. */
export function ownField(name: string, value: string): Field {
  return { name, lower: name.toLowerCase(), value };
}
