/** Why a body or a message is refused before any rule is asked; also under `audit`, since a server may read it as something else. */
export interface Unreadable {
  readonly status: 400 | 413 | 415;
  /** Machine code. */
  readonly code: string;
  readonly reason: string;
}

/** Carries the reason out of a parser; never leaves this folder. */
export class BodyError extends Error {
  readonly unreadable: Unreadable;

  constructor(status: Unreadable["status"], code: string, reason: string) {
    super(reason);
    this.unreadable = { status, code, reason };
  }
}

/** What a parser gives of text that has one reading, or the reason why it has none. */
export type Read<Facts> = { readonly kind: "read"; readonly facts: Facts } | ({ readonly kind: "unreadable" } & Unreadable);

/** Runs a parser. */
export function reading<Facts>(parse: () => Facts): Read<Facts> {
  try {
    return { kind: "read", facts: parse() };
  } catch (error) {
    if (error instanceof BodyError) return { kind: "unreadable", ...error.unreadable };
    throw error;
  }
}
