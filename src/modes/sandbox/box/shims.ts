import { closeAll, socketPair } from "../../../linux/descriptors.ts";
import { pidfdOpen } from "../../../linux/pidfd.ts";
import { ownEnvironment, selfCommand } from "../../../reexec.ts";
import { type LineChannel, openLineChannel } from "./line-channel.ts";

/** A shim that runs and waits for its order. */
export interface Shim {
  readonly pid: number;
  /** Settles when the channel to it is open. */
  readonly status: Promise<LineChannel>;
  /** Settles with its exit code, 128 + signal when one ended it; by then it may be the program that it has become. */
  readonly exited: Promise<number>;
}

/**
 * Starts shims, and keeps one in reserve where another launch is likely: the start of the runtime is most of the time that a launch takes. A
 * sandbox's first launch is likely; after that, only one that has had two is likely to have a third.
 */
export class Shims {
  readonly #owned: Set<number>;
  readonly #self = pidfdOpen(process.pid);
  #reserve: (Shim & { readonly ended: () => boolean }) | undefined;
  #taken = 0;

  /** `owned`: pids that the runtime collects. */
  constructor(owned: Set<number>) {
    this.#owned = owned;
  }

  /** One that waits already, or a new one. */
  take(): Shim {
    const reserve = this.#reserve;
    this.#reserve = undefined;
    this.#taken += 1;
    return reserve === undefined || reserve.ended() ? this.#start() : reserve;
  }

  /** Puts one in reserve, if it is likely to be needed. Failing to is no failure: the launch will say why. */
  prepare(): void {
    if (this.#reserve !== undefined || this.#taken === 1) return;
    try {
      this.#reserve = this.#start();
      this.#reserve.status.catch(() => {});
    } catch {}
  }

  #start(): Shim & { readonly ended: () => boolean } {
    const [own, theirs] = socketPair();
    try {
      const shim = Bun.spawn([...selfCommand(), "landlock-shim"], {
        cwd: "/",
        env: ownEnvironment(),
        stdio: ["ignore", "ignore", "inherit", theirs, this.#self],
      });
      this.#owned.add(shim.pid);
      const exited = shim.exited.then((code) => {
        this.#owned.delete(shim.pid);
        return code;
      });
      const ended = () => shim.exitCode !== null || shim.signalCode !== null;
      return { pid: shim.pid, status: openLineChannel(own), exited, ended };
    } finally {
      closeAll([theirs]);
    }
  }
}
