import type { EventSink } from "../../../../events/event.ts";
import { readMessage, writeAnswer } from "./message.ts";
import { QuestionRate } from "./rate.ts";
import { MAX_NAMES, type SyntheticNames } from "./synthetic-names.ts";
import { Zone } from "./zone.ts";

/** Questions a second over all transports (threat 26); installing a large project asks a few tens. */
export const MAX_QUESTIONS_PER_SECOND = 500;
/** A name keeps its address for ever; this only bounds how long a program goes on without asking again. */
const TTL_SECONDS = 5;

export interface ResponderOptions {
  readonly names: SyntheticNames;
  readonly host: { readonly name: string; readonly ipv4: string; readonly ipv6: string };
  readonly ipv6: boolean;
  readonly emit: EventSink;
  /** Milliseconds; only differences count. */
  readonly now?: () => number;
}

/** The resolver of one sandbox, without its sockets: a message in, a message out, or nothing. It asks nobody. */
export class Responder {
  readonly #zone: Zone;
  readonly #rate = new QuestionRate(MAX_QUESTIONS_PER_SECOND);
  readonly #now: () => number;

  constructor({ names, host, ipv6, emit, now }: ResponderOptions) {
    let told = false;
    const onExhausted = () => {
      if (told) return;
      told = true;
      emit({
        kind: "finding",
        time: Date.now(),
        severity: "medium",
        id: "dns-names-exhausted",
        title: "The sandbox has asked for more names than it can have; new ones are not answered any more",
        evidence: { names: String(names.size), limit: String(MAX_NAMES) },
        remediation: "look for a program that makes up names; recreate the sandbox to begin again",
      });
    };
    this.#zone = new Zone({ names, host, ipv6, onExhausted });
    this.#now = now ?? (() => performance.now());
  }

  /** Whether one more message may be looked at now. */
  admits(): boolean {
    return this.#rate.take(this.#now());
  }

  /** The answer to one message; undefined: none is sent. */
  reply(message: Buffer): Buffer | undefined {
    const reading = readMessage(message);
    if (reading.kind === "ignore") return undefined;
    if (reading.kind === "reply") return reading.reply;
    return writeAnswer(reading.query, this.#zone.answer(reading.query), TTL_SECONDS);
  }
}
