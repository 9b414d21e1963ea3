import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openAt } from "./descriptors.ts";
import { check, cString, syscall } from "./libc.ts";

/** struct statx (include/uapi/linux/stat.h), the same on every architecture. Indexes of 32-bit words. */
const STATX_BYTES = 256;
const STATX_BASIC_STATS = 0x07ff;
const INODE = 8;
const SIZE = 10;
const CTIME = 24;
const MTIME = 28;
const DEVICE_MAJOR = 34;
const DEVICE_MINOR = 35;
/** What makes a file another one or its content changed: inode, size, ctime, mtime, device. The time of the last access does not. */
const IDENTIFYING = [
  INODE,
  INODE + 1,
  SIZE,
  SIZE + 1,
  CTIME,
  CTIME + 1,
  CTIME + 2,
  MTIME,
  MTIME + 1,
  MTIME + 2,
  DEVICE_MAJOR,
  DEVICE_MINOR,
];

const PATH_BYTES = 4096;
const EXE = cString("exe");
// Reused by every call of this thread.
const path = Buffer.alloc(PATH_BYTES);
const words = new Uint32Array(STATX_BYTES / 4);

/** The executable behind /proc/PID/exe, as the kernel described it at one moment. */
export interface ExecutableFacts {
  /** Where it is, seen from the root of the mount namespace that it is in; not always UTF-8, and " (deleted)" behind it when it is gone. */
  readonly link: Buffer;
  readonly stat: FileStat;
}

/** The part of stat(2) that tells one file, and one content of it, from another. */
export class FileStat {
  readonly #words: Uint32Array;

  /** `statx`: a whole struct, which is copied. */
  constructor(statx: Uint32Array) {
    this.#words = Uint32Array.from(statx);
  }

  /** True when `statx` says the same. */
  matches(statx: Uint32Array): boolean {
    for (const index of IDENTIFYING) if (this.#words[index] !== statx[index]) return false;
    return true;
  }

  /** Number of the device, as stat(2) gives it. */
  get device(): bigint {
    const [major, minor] = [BigInt(this.#word(DEVICE_MAJOR)), BigInt(this.#word(DEVICE_MINOR))];
    return ((major & 0xfffn) << 8n) | ((major & ~0xfffn) << 32n) | (minor & 0xffn) | ((minor & ~0xffn) << 12n);
  }

  get inode(): bigint {
    return this.#word64(INODE);
  }

  /** Bytes. */
  get size(): bigint {
    return this.#word64(SIZE);
  }

  /** Nanoseconds since 1970. */
  get mtimeNs(): bigint {
    return this.#time(MTIME);
  }

  /** Nanoseconds since 1970. */
  get ctimeNs(): bigint {
    return this.#time(CTIME);
  }

  #word(index: number): number {
    return this.#words[index] ?? 0;
  }

  #word64(index: number): bigint {
    return BigInt(this.#word(index)) | (BigInt(this.#word(index + 1)) << 32n);
  }

  /** struct statx_timestamp { s64 seconds; u32 nanoseconds } */
  #time(index: number): bigint {
    return BigInt.asIntN(64, this.#word64(index)) * 1_000_000_000n + BigInt(this.#word(index + 2));
  }
}

/** /proc/PID of one process or thread, held open: it never comes to mean another one that gets the same number. */
export class ProcessDirectory {
  readonly #fd: number;

  /** Throws a KernelError when there is no such process or thread. */
  constructor(pid: number) {
    this.#fd = openAt(AT_FDCWD, `/proc/${pid}`, O_PATH | O_DIRECTORY);
  }

  /**
   * The executable of this moment: `known` itself when nothing about it has changed. Throws a KernelError when the process has ended or may
   * not be looked at.
   */
  executable<Known extends ExecutableFacts>(known: Known | undefined): Known | ExecutableFacts {
    const length = check(syscall("readlinkat", this.#fd, EXE, path, path.length), "readlink", "exe");
    check(syscall("statx", this.#fd, EXE, 0, STATX_BASIC_STATS, words), "statx", "exe");
    if (known?.link.length === length && path.compare(known.link, 0, length, 0, length) === 0 && known.stat.matches(words)) return known;
    return { link: Buffer.from(path.subarray(0, length)), stat: new FileStat(words) };
  }

  close(): void {
    close(this.#fd);
  }
}
