import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { FileIdentity } from "../box/contract.ts";
import { fileIdentityOf, sameFile } from "./file-identity.ts";

/** Agent binaries are 100–200 MB; a larger or sparse file would keep the worker busy for seconds. */
export const MAX_BINARY_BYTES = 512 * 1024 * 1024;
/** One read: large enough that system calls do not count. */
const READ_BYTES = 1_048_576;

export interface HashRequest {
  readonly id: number;
  readonly pid: number;
  readonly file: FileIdentity;
}

export type HashAnswer = { readonly id: number; readonly sha256: string } | { readonly id: number; readonly problem: string };

/**
 * SHA-256 of the image that process `pid` runs, if it is still the recorded file before and after (a program that was replaced, or changed
 * through a shared mapping, has no hash).
 */
export function hashImage(pid: number, recorded: FileIdentity): { sha256: string } | { problem: string } {
  if (recorded.size > MAX_BINARY_BYTES)
    return { problem: `the executable has ${recorded.size} bytes, at most ${MAX_BINARY_BYTES} are hashed` };
  let fd: number | undefined;
  try {
    fd = openSync(`/proc/${pid}/exe`, "r");
    if (!sameFile(fileIdentityOf(fstatSync(fd, { bigint: true })), recorded))
      return { problem: "the program has changed since it connected" };
    const sha256 = hashDescriptor(fd);
    if (!sameFile(fileIdentityOf(fstatSync(fd, { bigint: true })), recorded))
      return { problem: "the executable changed while it was hashed" };
    return { sha256 };
  } catch (error) {
    return { problem: `the executable could not be read: ${error instanceof Error ? error.message : String(error)}` };
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function hashDescriptor(fd: number): string {
  const hasher = new Bun.CryptoHasher("sha256");
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  for (let total = 0; total <= MAX_BINARY_BYTES; ) {
    const size = readSync(fd, buffer, 0, buffer.length, null);
    if (size === 0) break;
    hasher.update(buffer.subarray(0, size));
    total += size;
  }
  return hasher.digest("hex");
}

declare const self: Worker;
if (!Bun.isMainThread) {
  self.onmessage = (event: MessageEvent<HashRequest>) => {
    const { id, pid, file } = event.data;
    self.postMessage({ id, ...hashImage(pid, file) } as HashAnswer);
  };
}
