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

/** struct termios of the kernel: four flag words, the line discipline, 19 control characters (include/uapi/asm-generic/termbits.h). */
const TERMIOS_BYTES = 36;
const TCGETS = 0x5401;
/** TCSETSW: after what is written has gone out. */
const TCSETSW = 0x5403;
const [INPUT, OUTPUT, CONTROL, LOCAL, CHARACTERS] = [0, 4, 8, 12, 17];
const IGNBRK_BRKINT_PARMRK_ISTRIP_INLCR_IGNCR_ICRNL_IXON = 0o2753;
const OPOST = 0o1;
const CSIZE_PARENB = 0o460;
const CS8 = 0o60;
const ISIG_ICANON_ECHO_ECHONL_IEXTEN = 0o100113;
const VTIME = 5;
const VMIN = 6;

/**
 * Passes every byte through a terminal unchanged in both directions, as cfmakeraw(3) does: output too, unlike the runtime's raw mode, or a
 * full-screen program at the other end loses its line feeds. Returns what puts the settings back.
 */
export function makeTerminalRaw(fd: number): () => void {
  const saved = Buffer.alloc(TERMIOS_BYTES);
  check(syscall("ioctl", fd, TCGETS, saved), "ioctl", "terminal settings");
  const raw = Buffer.from(saved);
  const change = (offset: number, clear: number, set = 0) => raw.writeUInt32LE(((raw.readUInt32LE(offset) & ~clear) | set) >>> 0, offset);
  change(INPUT, IGNBRK_BRKINT_PARMRK_ISTRIP_INLCR_IGNCR_ICRNL_IXON);
  change(OUTPUT, OPOST);
  change(CONTROL, CSIZE_PARENB, CS8);
  change(LOCAL, ISIG_ICANON_ECHO_ECHONL_IEXTEN);
  raw[CHARACTERS + VMIN] = 1;
  raw[CHARACTERS + VTIME] = 0;
  check(syscall("ioctl", fd, TCSETSW, raw), "ioctl", "terminal settings");
  return () => void syscall("ioctl", fd, TCSETSW, saved); // a terminal that is gone needs nothing
}
