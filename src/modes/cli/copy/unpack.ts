import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  futimesSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { printable } from "../../../command/printable.ts";
import { OpenShellError } from "../../../error.ts";
import { checkSpace, type Space, spaceAt } from "./free-space.ts";
import { exchanged, type HeldTree, openForReading, StepError } from "./held-tree.ts";
import type { TarEntry } from "./tar-entry.ts";
import { TarReader } from "./tar-reader.ts";

/** Files of one download: above, somebody is filling the disk with names. */
const MAX_ENTRIES = 1_000_000;

/** Longest name that Linux file systems take, in bytes. */
const MAX_PART_BYTES = 255;

/** A second name costs the sandbox one header, and us a copy of the file: all of them may amount to what was sent, and this. Bytes. */
const MAX_COPIED_BYTES = 1024 ** 3;

/** Longest path that Linux takes. Bytes. */
const MAX_PATH_BYTES = 4095;

/** Written between two looks at what is free; read at a time. Bytes. */
const LOOK_BYTES = 64 * 1024 ** 2;
const PIECE_BYTES = 256 * 1024;

const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_EXCL;

/** Latest time that is given to a file, in the year 2106: where the oldest file systems end. Seconds since the epoch. */
const MAX_TIME = 0xffff_ffff;

/** What was unpacked, by its path below the root (empty: the root itself). */
export interface Unpacked {
  readonly files: readonly string[];
  readonly directories: readonly string[];
  readonly links: readonly { readonly path: string; readonly target: string }[];
  /** Left out, with the reason. */
  readonly refused: readonly { readonly path: string; readonly reason: string }[];
  readonly bytes: number;
}

export interface UnpackOptions {
  /** Bytes that second names may take beyond what was sent. */
  readonly maxCopied?: number;
  readonly space?: () => Space;
}

interface PendingLink {
  readonly path: string;
  readonly target: string;
}

/**
 * Unpacks an archive that a sandbox sent, which means that it may be anything, below an empty directory of ours. Names that leave it are an
 * error. No link exists until everything else is written, so nothing is ever written through one; links that would lead out, devices and
 * pipes are left out; of a file's permissions only reading and running are kept. Whoever exchanges a directory of it for a link meanwhile gets
 * nothing written outside either: all is reached from the held directory, through no link.
 */
export class Unpacker {
  readonly #held: HeldTree;
  readonly #root: string;
  readonly #maxCopied: number;
  readonly #space: () => Space;
  /** The first part of every name; the sandbox chooses it, and it appears nowhere here. */
  #name: string | undefined;
  readonly #reader = new TarReader();
  readonly #files = new Set<string>();
  readonly #directories = new Set<string>();
  readonly #links: PendingLink[] = [];
  readonly #refused: { path: string; reason: string }[] = [];
  #entries = 0;
  #bytes = 0;
  #copied = 0;
  #looked = 0;
  #open: { readonly fd: number; readonly modified: number } | undefined;

  /**
   * `root`, a path right below `held`, does not exist yet; it becomes what the archive's first entry is, and every other entry is below that.
   * `space`: what is free there.
   */
  constructor(
    held: HeldTree,
    root: string,
    { maxCopied = MAX_COPIED_BYTES, space = () => held.inDirectory(held.base, spaceAt) }: UnpackOptions = {},
  ) {
    this.#held = held;
    this.#root = root;
    this.#maxCopied = maxCopied;
    this.#space = space;
  }

  get bytes(): number {
    return this.#bytes;
  }

  push(piece: Uint8Array): void {
    for (const event of this.#reader.push(piece)) {
      try {
        if (event.kind === "entry") this.#entry(event.entry);
        else if (event.kind === "content") this.#content(event.bytes);
        else this.#endOfFile();
      } catch (reason) {
        throw notWritten(reason);
      }
    }
  }

  /** The archive is complete: makes the links, and says what there is. */
  finish(): Unpacked {
    this.#reader.finish();
    const links = this.#links.filter((link) => this.#makeLink(link));
    return { files: [...this.#files], directories: [...this.#directories], links, refused: this.#refused, bytes: this.#bytes };
  }

  /** Lets go of a file that was being written. */
  close(): void {
    if (this.#open !== undefined) closeSync(this.#open.fd);
    this.#open = undefined;
  }

  #entry(entry: TarEntry): void {
    this.#entries += 1;
    if (this.#entries > MAX_ENTRIES)
      throw new OpenShellError("resource_exhausted", `more than ${MAX_ENTRIES} files, at most that many are taken`);
    const path = this.#below(entry.name);
    switch (entry.kind) {
      case "directory":
        this.#directory(path);
        return;
      case "file":
        this.#file(path, entry);
        return;
      case "symlink":
        this.#links.push({ path, target: entry.target });
        return;
      case "hardlink":
        this.#copy(path, entry);
        return;
      case "other":
        this.#refused.push({ path, reason: "it is a device or a pipe" });
    }
  }

  /** The path below the root that a name means; throws for any that leads elsewhere. */
  #below(name: string): string {
    const parts = name.replace(/\/+$/, "").split("/");
    this.#name ??= parts[0];
    const bad =
      parts[0] !== this.#name ||
      name.includes("\0") ||
      parts.some((part) => part === "" || part === "." || part === ".." || Buffer.byteLength(part) > MAX_PART_BYTES);
    if (bad)
      throw new OpenShellError(
        "permission_denied",
        `the sandbox sent a file named '${printable(name)}', which is outside what was asked for`,
      );
    const path = parts.slice(1).join("/");
    if (Buffer.byteLength(join(this.#root, path)) > MAX_PATH_BYTES)
      throw new OpenShellError("failed_precondition", `the copy cannot be written: a path in it has more than ${MAX_PATH_BYTES} bytes`, {
        next: "copy a directory further below",
      });
    return path;
  }

  /** Runs `use` with a name for a path below the root, by which nothing else can be reached. */
  #at<T>(path: string, use: (place: string) => T): T {
    return this.#held.at(join(this.#root, path), use);
  }

  #directory(path: string): void {
    if (this.#directories.has(path)) return;
    this.#parent(path);
    this.#at(path, (place) => mkdirSync(place, { mode: 0o755 }));
    this.#directories.add(path);
  }

  /** Directories above a path; an archive need not name them. */
  #parent(path: string): void {
    if (path !== "") this.#directory(path.includes("/") ? dirname(path) : "");
  }

  #file(path: string, { mode, modified, size }: TarEntry): void {
    checkSpace(this.#space(), size, named(path));
    this.#parent(path);
    const fd = this.#at(path, (place) => {
      // Twice the same name: the last one counts, as tar itself does it.
      if (this.#files.has(path)) unlinkSync(place);
      return openSync(place, NEW_FILE, 0o600);
    });
    this.#open = { fd, modified };
    fchmodSync(fd, safeMode(mode));
    this.#files.add(path);
  }

  #content(bytes: Uint8Array): void {
    if (this.#open === undefined) return;
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#open.fd, bytes, at);
    this.#bytes += bytes.length;
    if (this.#bytes - this.#looked < LOOK_BYTES) return;
    this.#looked = this.#bytes;
    checkSpace(this.#space(), LOOK_BYTES, "what is still to come");
  }

  #endOfFile(): void {
    if (this.#open === undefined) return;
    const time = Math.min(this.#open.modified, MAX_TIME);
    futimesSync(this.#open.fd, time, time);
    this.close();
  }

  /** Two names of one file become two files: a link to something outside could be nothing else than that. */
  #copy(path: string, { target, mode }: TarEntry): void {
    const source = this.#below(target);
    if (!this.#files.has(source)) {
      this.#refused.push({ path, reason: "it is a second name of a file that was not sent" });
      return;
    }
    const from = this.#at(source, openForReading);
    try {
      const stats = fstatSync(from);
      if (!stats.isFile()) throw exchanged(join(this.#root, source));
      if (this.#copied + stats.size > this.#bytes + this.#maxCopied) {
        this.#refused.push({ path, reason: `it is a second name of '${printable(source)}', and there are too many copies already` });
        return;
      }
      checkSpace(this.#space(), stats.size, named(path));
      this.#copied += stats.size;
      this.#parent(path);
      const to = this.#at(path, (place) => openSync(place, NEW_FILE, 0o600));
      this.#files.add(path);
      try {
        copyContent(from, to, stats.size);
        fchmodSync(to, safeMode(mode));
      } finally {
        closeSync(to);
      }
    } finally {
      closeSync(from);
    }
  }

  #makeLink({ path, target }: PendingLink): boolean {
    if (!staysBelow(path, target)) {
      this.#refused.push({ path, reason: `it is a link out of the copy, to '${printable(target)}'` });
      return false;
    }
    try {
      if (path !== "") this.#parent(path);
      if (path === "" || this.#at(path, (place) => lstatSync(place, { throwIfNoEntry: false })) !== undefined) {
        this.#refused.push({ path, reason: "it is a link with the name of a file" });
        return false;
      }
      this.#at(path, (place) => symlinkSync(target, place));
    } catch (reason) {
      throw notWritten(reason);
    }
    return true;
  }
}

/** At most `bytes` of it: it may be growing. */
function copyContent(from: number, to: number, bytes: number): void {
  const buffer = Buffer.allocUnsafe(PIECE_BYTES);
  for (let left = bytes; left > 0; ) {
    const count = readSync(from, buffer, 0, Math.min(left, buffer.length), null);
    if (count === 0) return;
    for (let at = 0; at < count; ) at += writeSync(to, buffer, at, count - at);
    left -= count;
  }
}

function named(path: string): string {
  return path === "" ? "the file" : printable(path);
}

/**
 * Whether a link leads nowhere outside. Steps up are allowed at its beginning only, where they go through real directories: after the name
 * of another link they could lead anywhere.
 */
export function staysBelow(path: string, target: string): boolean {
  if (target === "" || target.startsWith("/") || target.includes("\0")) return false;
  const depth = path.split("/").length - 1;
  const parts = target.split("/");
  const ups = parts.findIndex((part) => part !== ".." && part !== "" && part !== ".");
  const down = ups < 0 ? [] : parts.slice(ups);
  if (down.includes("..")) return false;
  return parts.filter((part) => part === "..").length <= depth;
}

/** What a person is told of a failure to write: an archive that contradicts itself is the sandbox's doing, everything else this machine's. */
function notWritten(reason: unknown): unknown {
  if (reason instanceof StepError) return exchanged(printable(reason.path), reason);
  const code = reason instanceof Error ? (reason as NodeJS.ErrnoException).code : undefined;
  if (reason instanceof OpenShellError || code === undefined) return reason;
  if (code === "ELOOP" || code === "ENOENT")
    return new OpenShellError("aborted", "what had come was exchanged for something else while the copy was being written", {
      cause: reason,
      next: "stop what writes there, a sandbox that has this directory mounted perhaps, or name another destination",
    });
  if (code === "EEXIST" || code === "EISDIR" || code === "ENOTDIR")
    return new OpenShellError("failed_precondition", "the sandbox sent an archive that is not one: two things in it have one name");
  return new OpenShellError("failed_precondition", `the copy cannot be written: ${code}`, {
    cause: reason,
    next: "free space, or name another destination",
  });
}

/** Read, write and execute; no set-user-id, no write permission for others. */
function safeMode(mode: number): number {
  return (mode & 0o111 ? 0o755 : 0o644) & (mode & 0o044 ? 0o777 : 0o700);
}
