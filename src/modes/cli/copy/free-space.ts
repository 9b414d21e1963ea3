import { statfsSync } from "node:fs";
import { OpenShellError } from "../../../error.ts";
import { size } from "./meter.ts";

/** A download leaves this much of a file system free, or the share below where that is less: others write there too. Bytes. */
const KEEP_BYTES = 1024 ** 3;
const KEEP_SHARE = 0.05;

/** What a file system has. Bytes. */
export interface Space {
  readonly free: number;
  readonly total: number;
}

/** What the file system of a directory has for us. */
export function spaceAt(place: string): Space {
  const { bavail, blocks, bsize } = statfsSync(place);
  return { free: bavail * bsize, total: blocks * bsize };
}

/** Throws where `bytes` more leave too little free. `what` is to be written. */
export function checkSpace(space: Space, bytes: number, what: string): void {
  const keep = Math.min(KEEP_BYTES, Math.floor(space.total * KEEP_SHARE));
  if (space.free - bytes >= keep) return;
  throw new OpenShellError(
    "resource_exhausted",
    `${what} takes ${size(bytes)} more, and ${size(space.free)} are free where it is to go, of which ${size(keep)} stay free`,
    { next: "free space, name a destination on another disk, or copy less" },
  );
}
