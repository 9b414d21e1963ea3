import { setReceiveBuffer } from "../../../linux/receive-buffer.ts";
import { descriptorOf } from "./descriptor.ts";
import { isMemoryShort } from "./held-bytes.ts";

/** One large packet of a loopback: below it, its sender waits for the timer of a window that is too small. Reads are of 48 to 96 KB then. */
const SHORT_BYTES = 65_536;
/** Of a socket that may be read as usual again; the kernel takes of it what `net.core.rmem_max` allows. */
const USUAL_BYTES = 1024 * 1024;

const narrowed = new WeakSet<object>();
let any = false;

/**
 * To be told of each socket that bytes were read from. One read takes all that the kernel has, half a megabyte at most, and what was read has to be kept:
 * while memory is short, the kernel gets to have less.
 */
export function wasRead(socket: object): void {
  const short = isMemoryShort();
  if (!short && !any) return;
  if (short === narrowed.has(socket)) return;
  if (!setReceiveBuffer(descriptorOf(socket), short ? SHORT_BYTES : USUAL_BYTES)) return;
  if (short) narrowed.add(socket);
  else narrowed.delete(socket);
  any ||= short;
}
