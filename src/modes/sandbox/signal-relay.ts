import { constants } from "node:os";
import type { Child } from "./box/contract.ts";

/** What people and service managers send to a process in order to end it or to talk to it. */
export const RELAYED_SIGNALS = ["SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2"] as const;
export type RelayedSignal = (typeof RELAYED_SIGNALS)[number];

/** Those that mean "do not go on" when there is no program yet that could decide for itself. */
const ENDING: ReadonlySet<RelayedSignal> = new Set(["SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP"]);

/** Between being told to end and killing a program that does not. Milliseconds. */
const STOP_GRACE = 5000;

/**
 * Takes the supervisor's signals from its first moment: before there is a program they are kept, because the default action would end us
 * in the middle of building and leave half of it behind; then the program gets them.
 */
export class SignalRelay implements Disposable {
  readonly #handlers = new Map<RelayedSignal, () => void>();
  readonly #kept: RelayedSignal[] = [];
  readonly #timers: ReturnType<typeof setTimeout>[] = [];
  #child: Child | undefined;

  constructor(signals: readonly RelayedSignal[] = RELAYED_SIGNALS) {
    for (const name of signals) {
      const handler = () => this.#receive(name);
      process.on(name, handler);
      this.#handlers.set(name, handler);
    }
  }

  /** 128 + signal when we were told to end and no program has been attached. */
  get endedEarly(): number | undefined {
    const signal = this.#kept.find((name) => ENDING.has(name));
    return signal === undefined ? undefined : 128 + constants.signals[signal];
  }

  /** From here on `child` gets the signals, first those that came too early for it. */
  attach(child: Child): void {
    this.#child = child;
    for (const name of this.#kept.splice(0)) this.#receive(name);
  }

  #receive(name: RelayedSignal): void {
    if (this.#child === undefined) {
      this.#kept.push(name);
      return;
    }
    const child = this.#child;
    child.signal(constants.signals[name]);
    if (name === "SIGTERM") this.#timers.push(setTimeout(() => child.signal(constants.signals.SIGKILL), STOP_GRACE));
  }

  [Symbol.dispose](): void {
    for (const [name, handler] of this.#handlers) process.off(name, handler);
    for (const timer of this.#timers) clearTimeout(timer);
    this.#child = undefined;
  }
}
