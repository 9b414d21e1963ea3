import { changeMode, changeOwner, close, O_CLOEXEC, O_NOCTTY, O_RDWR, openAt } from "./descriptors.ts";
import { check, syscall } from "./libc.ts";

/** include/uapi/asm-generic/ioctls.h, the same on both architectures. */
const TIOCSCTTY = 0x540e;
const TIOCSWINSZ = 0x5414;
const TIOCSPTLCK = 0x40045431;
const TIOCGPTPEER = 0x5441;

export interface Terminal {
  readonly controller: number;
  readonly terminal: number;
}

/** A new pseudo-terminal of the devpts instance behind `devpts` (its root directory); the terminal belongs to `uid` alone. */
export function openTerminal(devpts: number, uid: number, gid: number, columns: number, rows: number): Terminal {
  const controller = openAt(devpts, "ptmx", O_RDWR | O_NOCTTY);
  try {
    check(syscall("ioctl", controller, TIOCSPTLCK, new Int32Array([0])), "ioctl", "unlock terminal");
    // By descriptor, not by name: the name would be looked up in another mount namespace.
    const terminal = check(syscall("ioctl", controller, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC), "ioctl", "open terminal");
    try {
      changeOwner(terminal, uid, gid);
      changeMode(terminal, 0o600);
      resizeTerminal(controller, columns, rows);
      return { controller, terminal };
    } catch (reason) {
      close(terminal);
      throw reason;
    }
  } catch (reason) {
    close(controller);
    throw reason;
  }
}

/** Sets the window size; at least one column and one row. The foreground process group gets SIGWINCH. */
export function resizeTerminal(fd: number, columns: number, rows: number): void {
  // struct winsize { u16 row, col, xpixel, ypixel }
  const bounded = (value: number) => Math.min(Math.max(Math.trunc(value) || 1, 1), 0xffff);
  check(syscall("ioctl", fd, TIOCSWINSZ, new Uint16Array([bounded(rows), bounded(columns), 0, 0])), "ioctl", "resize terminal");
}

/** Makes a terminal the controlling one of the calling session leader. */
export function setControllingTerminal(fd: number): void {
  check(syscall("ioctl", fd, TIOCSCTTY, 0), "ioctl", "controlling terminal");
}
