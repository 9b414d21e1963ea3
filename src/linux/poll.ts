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

/** Waits, without a time limit, until at least one descriptor has something to read or is finished. Blocks the calling thread. */
export function waitForAny(fds: readonly number[]): Ready[] {
  // struct pollfd { int fd; short events, revents }
  const list = Buffer.alloc(fds.length * 8);
  for (const [index, fd] of fds.entries()) {
    list.writeInt32LE(fd, index * 8);
    list.writeInt16LE(POLLIN, index * 8 + 4);
  }
  const result = syscall("ppoll", list, fds.length, null, null, 8);
  if (result === -EINTR) return [];
  check(result, "ppoll");
  return fds.flatMap((fd, index) => {
    const events = list.readInt16LE(index * 8 + 6);
    if (events === 0) return [];
    const readable = (events & POLLIN) !== 0;
    return [{ fd, readable, finished: !readable && (events & (POLLERR | POLLHUP | POLLNVAL)) !== 0 }];
  });
}
