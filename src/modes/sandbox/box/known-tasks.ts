import { close } from "../../../linux/descriptors.ts";
import { PIDFD_THREAD, type ProcessRelation, pidfdOpen, pidfdSendSignal, relationOf } from "../../../linux/pidfd.ts";
import { ProcessDirectory } from "../../../linux/process-directory.ts";
import { relationFromStatus, startTime } from "../../../linux/process-facts.ts";

/** Tasks remembered at once, with two descriptors each; a box has at most 1,024, and those that connect are few. */
const MAX_TASKS = 128;

/** A process, or a thread of one, that is held by descriptors, so that its number cannot come to mean another one unnoticed. */
export interface KnownTask<Memory> {
  /** The thread; a process is its first thread. */
  readonly id: number;
  readonly pidfd: number;
  readonly directory: ProcessDirectory;
  /** Of the process: clock ticks since boot. */
  readonly startTime: number;
  /** Pid of the process. */
  readonly process: number;
  /** What its reader keeps about it. */
  memory?: Memory;
}

/** A task, and what the kernel said about it a moment ago. */
export interface FoundTask<Memory> {
  readonly task: KnownTask<Memory>;
  /** Pid of the process that started it. */
  readonly parent: number;
  /** Seen for the first time. */
  readonly fresh: boolean;
}

/** What never changes about a task, read once; each use asks the kernel whether it is still that task. */
export class KnownTasks<Memory> {
  readonly #byId = new Map<number, KnownTask<Memory>>();

  /** Undefined when there is no such task (any more). */
  find(id: number): FoundTask<Memory> | undefined {
    const known = this.#byId.get(id);
    if (known === undefined) return this.#add(id);
    const relation = liveRelation(known);
    if (relation?.process === known.process) return { task: known, parent: relation.parent, fresh: false };
    this.#forget(known);
    return this.#add(id);
  }

  closeAll(): void {
    for (const known of [...this.#byId.values()]) this.#forget(known);
  }

  #add(id: number): FoundTask<Memory> | undefined {
    const pidfd = descriptorOf(id);
    if (pidfd === undefined) {
      const process = relationFromStatus(id)?.process;
      return process === undefined || process === id ? undefined : this.find(process);
    }
    let directory: ProcessDirectory | undefined;
    try {
      directory = new ProcessDirectory(id);
      const held = { id, pidfd, directory };
      const first = liveRelation(held);
      const start = first && startTime(first.process);
      // Alive after the reading: what was read is about the task that the descriptors hold.
      const relation = liveRelation(held);
      if (relation !== undefined && relation.process === first?.process && start !== undefined) {
        const task = { ...held, startTime: start, process: relation.process };
        this.#remember(task);
        return { task, parent: relation.parent, fresh: true };
      }
    } catch {
      // Gone meanwhile.
    }
    directory?.close();
    close(pidfd);
    return undefined;
  }

  #remember(task: KnownTask<Memory>): void {
    const oldest = this.#byId.size >= MAX_TASKS ? this.#byId.values().next().value : undefined;
    if (oldest !== undefined) this.#forget(oldest);
    this.#byId.set(task.id, task);
  }

  #forget(task: KnownTask<Memory>): void {
    this.#byId.delete(task.id);
    task.directory.close();
    close(task.pidfd);
  }
}

/** Undefined when the task has ended. */
function liveRelation({ id, pidfd }: { readonly id: number; readonly pidfd: number }): ProcessRelation | undefined {
  const relation = relationOf(pidfd);
  if (relation !== undefined) return relation;
  // Ended, or before Linux 6.13.
  const status = relationFromStatus(id);
  return pidfdSendSignal(pidfd, 0) ? status : undefined;
}

/** A descriptor of the thread itself: its descriptor table may be its own. Undefined: only processes have descriptors here, or it is gone. */
function descriptorOf(id: number): number | undefined {
  for (const flags of [PIDFD_THREAD, 0]) {
    try {
      return pidfdOpen(id, flags);
    } catch {
      // Before Linux 6.9 there are none of threads: that of the process, whose table nearly always is the thread's too.
    }
  }
  return undefined;
}
