/**
 * Bytes that all flows of one supervisor together may hold for sides that do not take them: 64 MiB, a gigabyte less than 2,048 flows of half a megabyte
 * each. Below it every flow has its own limits; beyond it each new byte has to fit into what a flow may hold in any case.
 */
export const HELD_BUDGET_BYTES: number = 64 * 1024 * 1024;
/** What each flow may hold in any case, so that none waits for another: one frame of HTTP/2, one record of TLS. */
export const FLOW_MINIMUM_BYTES = 16_384;

let held = 0;

/** Bytes that are held now. */
export function heldBytes(): number {
  return held;
}

/** Whether the budget is used up. */
export function isMemoryShort(): boolean {
  return held >= HELD_BUDGET_BYTES;
}

/** So many bytes more wait from now on; negative: fewer. */
export function holdBytes(more: number): void {
  held += more;
}

interface Share {
  bytes: number;
}

const forgotten = new FinalizationRegistry<Share>((share) => holdBytes(-share.bytes));

/** What one flow holds. Whoever forgets to say that it holds nothing any more has its share counted until its memory is collected. */
export class HeldBytes {
  #share: Share | undefined;

  set(bytes: number): void {
    if (this.#share === undefined) {
      if (bytes === 0) return;
      this.#share = { bytes: 0 };
      forgotten.register(this, this.#share);
    }
    holdBytes(bytes - this.#share.bytes);
    this.#share.bytes = bytes;
  }
}
