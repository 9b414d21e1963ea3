import { totalmem } from "node:os";

/** How large the file systems in memory of a box may become, as tmpfs takes sizes. */
export interface MemoryFiles {
  /** /tmp: builds of large packages need a gigabyte or two, a machine must survive several boxes. */
  readonly temporary: string;
  /** /dev/shm */
  readonly shared: string;
  /** /run and /var/log, each: sockets, pid files, short logs. */
  readonly log: string;
}

const OF_MACHINE = { temporary: 1 / 4, shared: 1 / 10 } as const;
const LOG_BYTES = 64 * 2 ** 20;

/**
 * What is in memory is counted as the programs' memory, and stays when the program that wrote it was killed: together these take at most
 * seven eighths of a limit, so that there is always room for one that removes files.
 */
const OF_LIMIT = { temporary: 1 / 2, shared: 1 / 4, log: 1 / 16 } as const;

/** `limit`: bytes that the programs may have together; absent: no limit but the machine. */
export function memoryFiles(limit?: number, machine = totalmem()): MemoryFiles {
  const size = (bytes: number, part: number) => `${Math.floor(Math.min(bytes, limit === undefined ? bytes : limit * part))}`;
  return {
    temporary: size(machine * OF_MACHINE.temporary, OF_LIMIT.temporary),
    shared: size(machine * OF_MACHINE.shared, OF_LIMIT.shared),
    log: size(LOG_BYTES, OF_LIMIT.log),
  };
}
