import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  realpathSync,
  renameSync,
  rmdirSync,
  type Stats,
  statfsSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from "node:fs";
import { OpenShellError } from "../../../error.ts";
import { type Attributes, longName, readAttributes, writeAttributes } from "./attributes.ts";
import { MAX_PACKET_BYTES, PACKET, PacketReader, PacketWriter, STATUS } from "./packet.ts";

const VERSION = 3;
const SLASH = 0x2f;

/** Data of one read or write: what is left of a message for it, rounded down, as OpenSSH's server says too. */
const MAX_DATA_BYTES = MAX_PACKET_BYTES - 1024;

/** Open files and directories of one client; well below what a process may have open. */
const MAX_HANDLES = 1000;

/** Names in one answer to a directory read. */
const NAMES_PER_ANSWER = 100;

/** SSH_FXF_* (section 6.3). */
const OPEN = { read: 0x1, write: 0x2, append: 0x4, create: 0x8, truncate: 0x10, exclusive: 0x20 } as const;

const EXTENSIONS: readonly (readonly [string, string])[] = [
  ["posix-rename@openssh.com", "1"],
  ["hardlink@openssh.com", "1"],
  ["fsync@openssh.com", "1"],
  ["lsetstat@openssh.com", "1"],
  ["statvfs@openssh.com", "2"],
  ["limits@openssh.com", "1"],
  ["expand-path@openssh.com", "1"],
];

type Handle =
  | { readonly kind: "file"; readonly fd: number; readonly append: boolean }
  | { readonly kind: "directory"; readonly path: Buffer; readonly names: Buffer[] };

/**
 * SFTP, version 3 (draft-ietf-secsh-filexfer-02), on the files that this process may use: it takes a message and gives the answer. It runs
 * inside the sandbox as the agent's user; nothing is checked here that the kernel does not check.
 */
export class SftpServer {
  readonly #handles = new Map<number, Handle>();
  readonly #home: string;
  #lastHandle = 0;

  constructor(home: string) {
    this.#home = home;
  }

  /** The answer to one message. */
  answer(packet: Buffer): Buffer {
    const reader = new PacketReader(packet);
    const type = reader.byte();
    if (type === PACKET.init) return version();
    const id = reader.uint32();
    try {
      return this.#serve(type, id, reader);
    } catch (error) {
      return status(id, ...reasonOf(error));
    }
  }

  /** Lets go of everything that the client left open. */
  close(): void {
    for (const handle of this.#handles.values()) if (handle.kind === "file") closeSync(handle.fd);
    this.#handles.clear();
  }

  #serve(type: number, id: number, reader: PacketReader): Buffer {
    switch (type) {
      case PACKET.open:
        return this.#open(id, reader);
      case PACKET.close:
        return this.#close(id, reader);
      case PACKET.read:
        return this.#read(id, reader);
      case PACKET.write:
        return this.#write(id, reader);
      case PACKET.lstat:
        return attributes(id, lstatSync(reader.path()));
      case PACKET.stat:
        return attributes(id, statSync(reader.path()));
      case PACKET.fstat:
        return attributes(id, fstatSync(this.#file(reader).fd));
      case PACKET.setstat:
        setAttributes(reader.path(), readAttributes(reader));
        return ok(id);
      case PACKET.fsetstat:
        setFileAttributes(this.#file(reader).fd, readAttributes(reader));
        return ok(id);
      case PACKET.opendir:
        return this.#openDirectory(id, reader.path());
      case PACKET.readdir:
        return this.#readDirectory(id, reader);
      case PACKET.remove:
        unlinkSync(reader.path());
        return ok(id);
      case PACKET.mkdir: {
        const path = reader.path();
        mkdirSync(path, { mode: readAttributes(reader).permissions ?? 0o777 });
        return ok(id);
      }
      case PACKET.rmdir:
        rmdirSync(reader.path());
        return ok(id);
      case PACKET.realpath:
        return name(id, absolute(reader.path(), this.#home));
      case PACKET.rename: {
        const [from, to] = [reader.path(), reader.path()];
        // Version 3 never replaces; link(2) fails where something is, at once.
        renameNew(from, to);
        return ok(id);
      }
      case PACKET.readlink:
        return name(id, readlinkSync(reader.path(), { encoding: "buffer" }));
      case PACKET.symlink: {
        // OpenSSH's order, which everybody follows: the target first.
        const [target, path] = [reader.path(), reader.path()];
        symlinkSync(target, path);
        return ok(id);
      }
      case PACKET.extended:
        return this.#extended(id, reader);
      default:
        return status(id, STATUS.unsupported, "this operation is not known");
    }
  }

  #extended(id: number, reader: PacketReader): Buffer {
    switch (reader.text()) {
      case "posix-rename@openssh.com": {
        const [from, to] = [reader.path(), reader.path()];
        renameSync(from, to);
        return ok(id);
      }
      case "hardlink@openssh.com": {
        const [from, to] = [reader.path(), reader.path()];
        linkSync(from, to);
        return ok(id);
      }
      case "fsync@openssh.com":
        fsyncSync(this.#file(reader).fd);
        return ok(id);
      case "lsetstat@openssh.com":
        setLinkAttributes(reader.path(), readAttributes(reader));
        return ok(id);
      case "statvfs@openssh.com":
        return fileSystem(id, reader.path());
      case "limits@openssh.com":
        return new PacketWriter(PACKET.extendedReply)
          .uint32(id)
          .uint64(MAX_PACKET_BYTES)
          .uint64(MAX_DATA_BYTES)
          .uint64(MAX_DATA_BYTES)
          .uint64(MAX_HANDLES)
          .finish();
      case "expand-path@openssh.com": {
        const path = reader.text();
        const home = path === "~" || path.startsWith("~/") ? `${this.#home}${path.slice(1)}` : path;
        return name(id, absolute(Buffer.from(home), this.#home));
      }
      default:
        return status(id, STATUS.unsupported, "this extension is not known");
    }
  }

  #open(id: number, reader: PacketReader): Buffer {
    const path = reader.path();
    const wanted = reader.uint32();
    const mode = readAttributes(reader).permissions ?? 0o666;
    const append = (wanted & OPEN.append) !== 0;
    const access = (wanted & OPEN.read) !== 0 ? ((wanted & OPEN.write) !== 0 ? constants.O_RDWR : constants.O_RDONLY) : constants.O_WRONLY;
    const flags =
      access |
      (append ? constants.O_APPEND : 0) |
      ((wanted & OPEN.create) !== 0 ? constants.O_CREAT : 0) |
      ((wanted & OPEN.truncate) !== 0 ? constants.O_TRUNC : 0) |
      ((wanted & OPEN.exclusive) !== 0 ? constants.O_EXCL : 0) |
      // A pipe that nobody writes to would hold up every other request.
      constants.O_NONBLOCK;
    return this.#keep(id, () => ({ kind: "file", fd: openSync(path, flags, mode), append }));
  }

  #openDirectory(id: number, path: Buffer): Buffer {
    return this.#keep(id, () => ({
      kind: "directory",
      path,
      names: [".", "..", ...namesIn(path)].map((entry) => Buffer.from(entry as string)),
    }));
  }

  #keep(id: number, open: () => Handle): Buffer {
    if (this.#handles.size >= MAX_HANDLES)
      return status(id, STATUS.failure, `${this.#handles.size} files are open, at most ${MAX_HANDLES} may be`);
    const handle = open();
    this.#lastHandle = (this.#lastHandle + 1) >>> 0;
    this.#handles.set(this.#lastHandle, handle);
    return new PacketWriter(PACKET.handle).uint32(id).uint32(4).uint32(this.#lastHandle).finish();
  }

  #close(id: number, reader: PacketReader): Buffer {
    const number = handleNumber(reader);
    const handle = this.#handles.get(number);
    if (handle === undefined) return status(id, STATUS.failure, "there is no such handle");
    this.#handles.delete(number);
    if (handle.kind === "file") closeSync(handle.fd);
    return ok(id);
  }

  #read(id: number, reader: PacketReader): Buffer {
    const { fd } = this.#file(reader);
    const offset = reader.uint64();
    const buffer = Buffer.allocUnsafe(Math.min(reader.uint32(), MAX_DATA_BYTES));
    const count = readSync(fd, buffer, 0, buffer.length, offset);
    if (count === 0 && buffer.length > 0) return status(id, STATUS.eof, "end of file");
    return new PacketWriter(PACKET.data).uint32(id).string(buffer.subarray(0, count)).finish();
  }

  #write(id: number, reader: PacketReader): Buffer {
    const { fd, append } = this.#file(reader);
    const offset = reader.uint64();
    const data = reader.string();
    for (let at = 0; at < data.length; ) at += writeSync(fd, data, at, data.length - at, append ? null : offset + at);
    return ok(id);
  }

  #readDirectory(id: number, reader: PacketReader): Buffer {
    const handle = this.#handles.get(handleNumber(reader));
    if (handle?.kind !== "directory") return status(id, STATUS.failure, "this is no directory handle");
    const found = handle.names.splice(0, NAMES_PER_ANSWER).flatMap((entry) => {
      try {
        return [{ entry, stats: lstatSync(Buffer.concat([handle.path, Buffer.from("/"), entry])) }];
      } catch {
        return []; // removed since the directory was opened
      }
    });
    if (found.length === 0) return status(id, STATUS.eof, "end of directory");
    const writer = new PacketWriter(PACKET.name).uint32(id).uint32(found.length);
    for (const { entry, stats } of found) writeAttributes(writer.string(entry).string(longName(entry, stats)), stats);
    return writer.finish();
  }

  #file(reader: PacketReader): Extract<Handle, { kind: "file" }> {
    const handle = this.#handles.get(handleNumber(reader));
    if (handle?.kind !== "file") throw new OpenShellError("invalid_argument", "this is no file handle");
    return handle;
  }
}

function handleNumber(reader: PacketReader): number {
  const handle = reader.string();
  return handle.length === 4 ? handle.readUInt32BE(0) : -1;
}

function namesIn(path: Buffer): Buffer[] {
  return readdirSync(path, { encoding: "buffer" });
}

function version(): Buffer {
  const writer = new PacketWriter(PACKET.version).uint32(VERSION);
  for (const [extension, data] of EXTENSIONS) writer.string(extension).string(data);
  return writer.finish();
}

function status(id: number, code: number, message: string): Buffer {
  return new PacketWriter(PACKET.status).uint32(id).uint32(code).string(message).string("").finish();
}

function ok(id: number): Buffer {
  return status(id, STATUS.ok, "");
}

function attributes(id: number, stats: Stats): Buffer {
  return writeAttributes(new PacketWriter(PACKET.attributes).uint32(id), stats).finish();
}

function name(id: number, path: Uint8Array): Buffer {
  return new PacketWriter(PACKET.name).uint32(id).uint32(1).string(path).string(path).uint32(0).finish();
}

/** statvfs(3) as OpenSSH's clients read it; what the runtime does not tell is zero. */
function fileSystem(id: number, path: Buffer): Buffer {
  const { bsize, blocks, bfree, bavail, files, ffree } = statfsSync(path);
  const writer = new PacketWriter(PACKET.extendedReply).uint32(id);
  for (const value of [bsize, bsize, blocks, bfree, bavail, files, ffree, ffree, 0, 0, 255]) writer.uint64(value);
  return writer.finish();
}

/** realpath(3) of what is there, else the path made absolute without looking at links: clients ask about files that are to be, too. */
function absolute(path: Buffer, home: string): Buffer {
  const full = path[0] === SLASH ? path : Buffer.concat([Buffer.from(`${home}/`), path]);
  try {
    return realpathSync(full, { encoding: "buffer" });
  } catch {
    const parts: string[] = [];
    // One character per byte: names need not be text.
    for (const part of full.toString("latin1").split("/")) {
      if (part === "..") parts.pop();
      else if (part !== "" && part !== ".") parts.push(part);
    }
    return Buffer.from(`/${parts.join("/")}`, "latin1");
  }
}

function renameNew(from: Buffer, to: Buffer): void {
  if (lstatSync(from).isDirectory()) {
    try {
      lstatSync(to);
    } catch {
      renameSync(from, to);
      return;
    }
    throw new OpenShellError("already_exists", "the new name is taken");
  }
  linkSync(from, to);
  unlinkSync(from);
}

function setAttributes(path: Buffer, { size, owner, permissions, times }: Attributes): void {
  if (size !== undefined) truncateSync(path, size);
  if (permissions !== undefined) chmodSync(path, permissions);
  if (times !== undefined) utimesSync(path, times.accessed, times.modified);
  if (owner !== undefined) chownSync(path, owner.uid, owner.gid);
}

function setFileAttributes(fd: number, { size, owner, permissions, times }: Attributes): void {
  if (size !== undefined) ftruncateSync(fd, size);
  if (permissions !== undefined) fchmodSync(fd, permissions);
  if (times !== undefined) futimesSync(fd, times.accessed, times.modified);
  if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid);
}

/** Of a link itself; Linux has no permissions of links. */
function setLinkAttributes(path: Buffer, { owner, times }: Attributes): void {
  if (times !== undefined) lutimesSync(path, times.accessed, times.modified);
  if (owner !== undefined) lchownSync(path, owner.uid, owner.gid);
}

const CODES: Readonly<Record<string, number>> = {
  ENOENT: STATUS.noSuchFile,
  ENOTDIR: STATUS.noSuchFile,
  ELOOP: STATUS.noSuchFile,
  EACCES: STATUS.permissionDenied,
  EPERM: STATUS.permissionDenied,
  EROFS: STATUS.permissionDenied,
};

function reasonOf(error: unknown): [number, string] {
  if (error instanceof OpenShellError) return [error.code === "invalid_argument" ? STATUS.badMessage : STATUS.failure, error.message];
  const { code = "EIO" } = error as NodeJS.ErrnoException;
  return [CODES[code] ?? STATUS.failure, code];
}
