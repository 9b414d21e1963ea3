import { check, EINTR, syscall } from "./libc.ts";

const POLLIN = 0x01;
const POLLERR = 0x08;
const POLLHUP = 0x10;
const POLLNVAL = 0x20;

export interface Ready {
  readonly fd: number;
  readonly readable: boolean;
  /** Nothing will ever come any more. */
  readonly finished: boolean;
}

/** Waits for many descriptors again and again; the list is kept in the kernel's form. */
export class Poller {
  #fds: number[] = [];
  /** struct pollfd { int fd; short events, revents } */
  #list = Buffer.alloc(0);

  add(fd: number): void {
    this.#replace([...this.#fds, fd]);
  }

  remove(fd: number): void {
    this.#replace(this.#fds.filter((other) => other !== fd));
  }

  /**
   * Waits, without a time limit, until at least one descriptor has something to read or is finished, and tells of each; not readable: nothing
   * will ever come any more. Blocks the calling thread.
   */
  wait(ready: (fd: number, readable: boolean) => void): void {
    const fds = this.#fds;
    const list = this.#list;
    const result = syscall("ppoll", list, fds.length, null, null, 8);
    if (result === -EINTR) return;
    check(result, "ppoll");
    for (const [index, fd] of fds.entries()) {
      const events = list.readInt16LE(index * 8 + 6);
      if ((events & POLLIN) !== 0) ready(fd, true);
      else if ((events & (POLLERR | POLLHUP | POLLNVAL)) !== 0) ready(fd, false);
    }
  }

  #replace(fds: number[]): void {
    this.#fds = fds;
    this.#list = Buffer.alloc(fds.length * 8);
    for (const [index, fd] of fds.entries()) {
      this.#list.writeInt32LE(fd, index * 8);
      this.#list.writeInt16LE(POLLIN, index * 8 + 4);
    }
  }
}

/** Waits, without a time limit, until at least one of these descriptors has something to read or is finished. Blocks the calling thread. */
export function waitForAny(fds: readonly number[]): Ready[] {
  const poller = new Poller();
  for (const fd of fds) poller.add(fd);
  const answer: Ready[] = [];
  poller.wait((fd, readable) => answer.push({ fd, readable, finished: !readable }));
  return answer;
}
