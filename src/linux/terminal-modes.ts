import { check, syscall } from "./libc.ts";

/** Settings of a terminal by their number in RFC 4254, section 8: 0 and 1 for a flag, a character's code, 255 for no character. */
export type TerminalModes = Readonly<Record<number, number>>;

/** struct termios of the kernel: four flag words, the line discipline, 19 control characters (include/uapi/asm-generic/termbits.h). */
const TERMIOS_BYTES = 36;
const TCGETS = 0x5401;
const TCSETS = 0x5402;
const [INPUT, OUTPUT, LOCAL, CHARACTERS] = [0, 4, 12, 17];
/** "No character" on the wire, and in the kernel. */
const NO_CHARACTER = 255;
const DISABLED = 0;

/** Number on the wire: index among the kernel's control characters. What Linux has no character for is left out. */
const CHARACTER: Readonly<Record<number, number>> = {
  ...{ 1: 0, 2: 1, 3: 2, 4: 3, 5: 4 }, // interrupt, quit, erase, kill, end of file
  ...{ 6: 11, 7: 16 }, // ends of line
  ...{ 8: 8, 9: 9, 10: 10 }, // start, stop, suspend
  ...{ 12: 12, 13: 14, 14: 15, 16: 7, 18: 13 }, // reprint, erase word, literal next, switch, discard
};

/** Number on the wire: which word of flags, and the flag in it (both architectures alike). Sizes, parity and speeds mean nothing here. */
const FLAG: Readonly<Record<number, readonly [word: number, flag: number]>> = {
  30: [INPUT, 0x4], // IGNPAR
  31: [INPUT, 0x8], // PARMRK
  32: [INPUT, 0x10], // INPCK
  33: [INPUT, 0x20], // ISTRIP
  34: [INPUT, 0x40], // INLCR
  35: [INPUT, 0x80], // IGNCR
  36: [INPUT, 0x100], // ICRNL
  37: [INPUT, 0x200], // IUCLC
  38: [INPUT, 0x400], // IXON
  39: [INPUT, 0x800], // IXANY
  40: [INPUT, 0x1000], // IXOFF
  41: [INPUT, 0x2000], // IMAXBEL
  42: [INPUT, 0x4000], // IUTF8 (RFC 8160)
  50: [LOCAL, 0x1], // ISIG
  51: [LOCAL, 0x2], // ICANON
  52: [LOCAL, 0x4], // XCASE
  53: [LOCAL, 0x8], // ECHO
  54: [LOCAL, 0x10], // ECHOE
  55: [LOCAL, 0x20], // ECHOK
  56: [LOCAL, 0x40], // ECHONL
  57: [LOCAL, 0x80], // NOFLSH
  58: [LOCAL, 0x100], // TOSTOP
  59: [LOCAL, 0x8000], // IEXTEN
  60: [LOCAL, 0x200], // ECHOCTL
  61: [LOCAL, 0x800], // ECHOKE
  62: [LOCAL, 0x4000], // PENDIN
  70: [OUTPUT, 0x1], // OPOST
  71: [OUTPUT, 0x2], // OLCUC
  72: [OUTPUT, 0x4], // ONLCR
  73: [OUTPUT, 0x8], // OCRNL
  74: [OUTPUT, 0x10], // ONOCR
  75: [OUTPUT, 0x20], // ONLRET
};

/** Gives a terminal these settings and leaves the others; numbers that mean nothing here are passed over. */
export function setTerminalModes(fd: number, modes: TerminalModes): void {
  const settings = Buffer.alloc(TERMIOS_BYTES);
  check(syscall("ioctl", fd, TCGETS, settings), "ioctl", "terminal settings");
  for (const [opcode, value] of Object.entries(modes)) {
    const character = CHARACTER[Number(opcode)];
    const flag = FLAG[Number(opcode)];
    if (character !== undefined) settings[CHARACTERS + character] = value === NO_CHARACTER ? DISABLED : value & 0xff;
    if (flag === undefined) continue;
    const [word, bit] = flag;
    const before = settings.readUInt32LE(word);
    settings.writeUInt32LE((value === 0 ? before & ~bit : before | bit) >>> 0, word);
  }
  check(syscall("ioctl", fd, TCSETS, settings), "ioctl", "terminal settings");
}
