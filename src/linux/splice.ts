import { close, O_CLOEXEC, O_NONBLOCK, readInto } from "./descriptors.ts";
import { check, syscall } from "./libc.ts";

const F_SETPIPE_SZ = 1031;
const SPLICE_F_MOVE = 1;
const SPLICE_F_NONBLOCK = 2;
/** Below what any user may ask for (fs.pipe-max-size), and little enough to be copied when the destination is full; where the kernel gives less, a call moves less. */
const PIPE_BYTES = 256 * 1024;

/**
 * A pipe through which the kernel passes bytes from one socket to another without copying them into this process (splice(2)). It is empty
 * between calls: bytes of one connection can never come out at another.
 */
export class SplicePipe implements Disposable {
  #ends: readonly [number, number] | undefined;

  /**
   * Moves what can be read from `from` without waiting, at most about `limit` bytes. Returns what `to` did not take: it has been read and is to
   * be written before anything else; undefined: nothing is left. Errors and ends of the sockets are not reported, their next read or write is.
   */
  move(from: number, to: number, limit: number): Buffer | undefined {
    let room = limit;
    while (room > 0) {
      const [output, input] = this.#open();
      const taken = splice(from, input, PIPE_BYTES);
      if (taken <= 0) return undefined;
      room -= taken;
      const rest = this.#empty(output, to, taken);
      if (rest !== undefined) return rest;
    }
    return undefined;
  }

  /** Passes on the `count` bytes in the pipe; returns those that `to` does not take. */
  #empty(output: number, to: number, count: number): Buffer | undefined {
    let left = count;
    while (left > 0) {
      const given = splice(output, to, left);
      if (given <= 0) return this.#rest(output, left);
      left -= given;
    }
    return undefined;
  }

  #rest(output: number, count: number): Buffer {
    try {
      const rest = Buffer.allocUnsafe(count);
      for (let at = 0; at < count; ) at += readInto(output, rest.subarray(at));
      return rest;
    } catch (reason) {
      this[Symbol.dispose]();
      throw reason;
    }
  }

  #open(): readonly [number, number] {
    if (this.#ends !== undefined) return this.#ends;
    const pair = new Int32Array(2);
    check(syscall("pipe2", pair, O_CLOEXEC | O_NONBLOCK), "pipe2");
    const [output = -1, input = -1] = pair;
    syscall("fcntl", input, F_SETPIPE_SZ, PIPE_BYTES);
    this.#ends = [output, input];
    return this.#ends;
  }

  [Symbol.dispose](): void {
    for (const end of this.#ends ?? []) close(end);
    this.#ends = undefined;
  }
}

function splice(from: number, to: number, count: number): number {
  return syscall("splice", from, 0, to, 0, count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}
