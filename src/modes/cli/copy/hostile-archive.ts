/** For tests: archives as a hostile tar could write them. */
import { BLOCK_BYTES, paddingOf } from "./tar-entry.ts";
import { TAR_END, tarHeader } from "./tar-writer.ts";

export interface Given {
  readonly name: string;
  readonly content?: string;
  readonly to?: string;
  readonly type?: "directory" | "hardlink" | "device" | "pipe";
  readonly mode?: number;
}

const FLAGS = { directory: "5", hardlink: "1", device: "3", pipe: "6" } as const;

/** An archive as a hostile tar could write it. */
export function archiveOf(entries: readonly Given[]): Buffer {
  const parts = entries.flatMap(({ name, content = "", to, type, mode = 0o644 }) => {
    const kind = to !== undefined && type === undefined ? "symlink" : "file";
    const header = Buffer.from(tarHeader({ kind, name, target: to ?? "", mode, size: Buffer.byteLength(content), modified: 1 }));
    const last = header.length - BLOCK_BYTES;
    if (mode > 0o777) header.write(`${mode.toString(8).padStart(7, "0")}\0`, last + 100);
    if (type !== undefined) header.write(FLAGS[type], last + 156);
    header.write("        ", last + 148);
    const sum = header.subarray(last).reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, last + 148);
    return [header, Buffer.from(content), Buffer.alloc(paddingOf(Buffer.byteLength(content)))];
  });
  return Buffer.concat([...parts, TAR_END]);
}
