import { randomBytes } from "node:crypto";
import { existsSync, rmSync, writeFileSync } from "node:fs";

/** Enough for the pages of several deletions in the write-ahead log. */
const RESERVE_BYTES = 1024 * 1024;

/** Space that is kept for deletions alone: on a full disk they are what makes room. */
export interface Reserve {
  /** Gives the space free, until `keep`. */
  release(): void;
  /** Takes the space again, as soon as there is some. */
  keep(): void;
}

export function openReserve(file: string): Reserve {
  const reserve: Reserve = {
    release: () => rmSync(file, { force: true }),
    keep() {
      if (existsSync(file)) return;
      try {
        // Random: a file system that compresses would keep no space for zeros.
        writeFileSync(file, randomBytes(RESERVE_BYTES), { mode: 0o600, flag: "wx" });
      } catch {
        // No room yet; a part of it would only be in the way.
        rmSync(file, { force: true });
      }
    },
  };
  reserve.keep();
  return reserve;
}
