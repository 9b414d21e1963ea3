/**
 * Frees the memory of bytes that have been passed on at once, instead of when the collector of garbage gets round to it: of a fast transfer it would
 * be tens of megabytes until then. Only for bytes whose whole `ArrayBuffer` nobody else has, or will ever look at again: it is empty afterwards.
 */
export function giveBack(bytes: Uint8Array): void {
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}
