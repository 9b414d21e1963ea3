import { close } from "../../../linux/descriptors.ts";
import { pidfdOpen, pidfdSendSignal } from "../../../linux/pidfd.ts";
import { startTime } from "../../../linux/process-facts.ts";

/** Processes remembered at once; a box has at most 1,024, and those that connect are few. */
const MAX_PROCESSES = 256;

/** A process that is held by a descriptor, so that its pid cannot come to mean another one unnoticed. */
export interface KnownProcess {
  readonly pid: number;
  readonly pidfd: number;
  /** Clock ticks since boot. */
  readonly startTime: number;
  /** First bytes of the command line of one image; evidence only. */
  commandLine?: { readonly image: string; readonly text: string };
  /** What the mappings of one image were like when they were last read (performance.now, milliseconds). */
  mappings?: { readonly image: string; readonly time: number; readonly writableCode: boolean };
}

/** What never changes about a process, read once; each use asks the kernel whether it is still that process. */
export class KnownProcesses {
  readonly #byPid = new Map<number, KnownProcess>();

  /** Undefined when there is no such process (any more). */
  find(pid: number): KnownProcess | undefined {
    const known = this.#byPid.get(pid);
    if (known !== undefined) {
      if (pidfdSendSignal(known.pidfd, 0)) return known;
      this.#forget(known);
    }
    return this.#add(pid);
  }

  closeAll(): void {
    for (const known of this.#byPid.values()) close(known.pidfd);
    this.#byPid.clear();
  }

  #add(pid: number): KnownProcess | undefined {
    let pidfd: number;
    try {
      pidfd = pidfdOpen(pid);
    } catch {
      return undefined;
    }
    const start = startTime(pid);
    // Alive after the reading: what was read is about the process that the descriptor holds.
    if (start === undefined || !pidfdSendSignal(pidfd, 0)) {
      close(pidfd);
      return undefined;
    }
    const oldest = this.#byPid.size >= MAX_PROCESSES ? this.#byPid.values().next().value : undefined;
    if (oldest !== undefined) this.#forget(oldest);
    const known: KnownProcess = { pid, pidfd, startTime: start };
    this.#byPid.set(pid, known);
    return known;
  }

  #forget(known: KnownProcess): void {
    this.#byPid.delete(known.pid);
    close(known.pidfd);
  }
}
