import { closeSync, openSync, readFileSync, readlinkSync, readSync, statSync } from "node:fs";
import { type ProcessRelation, relationOf } from "../../../linux/pidfd.ts";
import { parentOf } from "../../../linux/process-facts.ts";
import type { FileIdentity, ProgramIdentity } from "./contract.ts";
import { type KnownProcess, KnownProcesses } from "./known-processes.ts";
import { isOwnFile } from "./own-executable.ts";

/** Evidence for people; more would only fill the record. */
const COMMAND_LINE_BYTES = 512;
/** Deeper trees exist only to make us walk. */
const MAX_ANCESTORS = 64;
const DELETED = " (deleted)";
/** A mapping that is writable and executable at once (/proc/PID/maps, proc(5)). */
const WRITABLE_CODE = /^[0-9a-f]+-[0-9a-f]+ .wx/m;
/** The list of mappings of a large program takes as long as a whole connection, so it is not read for each of many. Milliseconds. */
const MAPPINGS_INTERVAL = 1000;

export type ProgramFacts = { readonly program: ProgramIdentity } | { readonly unknown: string };

/**
 * Everything about the process of a thread that waits in a call, and so does not change meanwhile. The image is read anew each time,
 * because exec replaces it; what stays for the life of a process is remembered.
 */
export class ProgramReader {
  readonly #processes = new KnownProcesses();
  readonly #initPid: number;

  /** `initPid`: host pid of the box's init, where every line of ancestors ends. */
  constructor(initPid: number) {
    this.#initPid = initPid;
  }

  read(thread: number, pidfd: number): ProgramFacts {
    try {
      const relation = relationOf(pidfd) ?? relationFromStatus(thread);
      const process = this.#processes.find(relation.process);
      if (process === undefined) return { unknown: "the process has ended" };
      const exe = executableOf(thread);
      if ("unknown" in exe) return exe;
      const file = fileOf(thread);
      return {
        program: {
          pid: process.pid,
          startTime: process.startTime,
          exe: exe.path,
          file,
          ancestors: this.#ancestorsOf(process, relation.parent),
          commandLine: commandLineOf(process, file),
          ...(hasWritableCode(process, file) ? { writableCode: true } : {}),
        },
      };
    } catch (reason) {
      return { unknown: `the process cannot be read: ${reason instanceof Error ? reason.message : String(reason)}` };
    }
  }

  close(): void {
    this.#processes.closeAll();
  }

  /**
   * Nearest first, up to our init, which is left out. A parent that is gone or unreadable, or our own executable in the agent's hands, ends
   * the walk: fewer ancestors match fewer rules.
   */
  #ancestorsOf(process: KnownProcess, parent: number): string[] {
    const ancestors: string[] = [];
    let child = process;
    let current = parent;
    while (current > 1 && current !== this.#initPid && ancestors.length < MAX_ANCESTORS) {
      const known = this.#processes.find(current);
      if (known === undefined) break;
      try {
        const exe = executableOf(current);
        const next = parentOfKnown(known);
        // Only while the child still has this parent is the number the parent's.
        if ("unknown" in exe || next === undefined || parentOfKnown(child) !== current) break;
        if (isOwnFile(statSync(`/proc/${current}/exe`, { bigint: true }))) break;
        ancestors.push(exe.path);
        child = known;
        current = next;
      } catch {
        break;
      }
    }
    return ancestors;
  }
}

/** True when both records speak of the same image: program file and descent, not the process. */
export function sameImage(one: ProgramIdentity, other: ProgramIdentity): boolean {
  return (
    one.exe === other.exe &&
    one.file.device === other.file.device &&
    one.file.inode === other.file.inode &&
    one.file.ctimeNs === other.file.ctimeNs &&
    one.ancestors.join("\0") === other.ancestors.join("\0")
  );
}

function field(status: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)$`, "m").exec(status)?.[1]);
}

/**
 * The path inside the view: the kernel prints it up to the root of the mount namespace that the file is in. A deleted file has no path
 * that a rule could mean, and a name that is not UTF-8 cannot be compared.
 */
function executableOf(pid: number): { readonly path: string } | { readonly unknown: string } {
  const bytes = readlinkSync(`/proc/${pid}/exe`, { encoding: "buffer" });
  const path = bytes.toString();
  if (Buffer.compare(Buffer.from(path), bytes) !== 0) return { unknown: "the path of the program is not UTF-8" };
  if (!path.startsWith("/")) return { unknown: `the program ${path} is not a file of the sandbox` };
  if (path.endsWith(DELETED)) return { unknown: `the file of the program was removed or replaced: ${path.slice(0, -DELETED.length)}` };
  return { path };
}

function fileOf(pid: number): FileIdentity {
  const facts = statSync(`/proc/${pid}/exe`, { bigint: true });
  return {
    device: String(facts.dev),
    inode: String(facts.ino),
    size: Number(facts.size),
    mtimeNs: String(facts.mtimeNs),
    ctimeNs: String(facts.ctimeNs),
  };
}

function parentOfKnown(process: KnownProcess): number | undefined {
  return relationOf(process.pidfd)?.parent ?? parentOf(process.pid);
}

/** Before Linux 6.13. */
function relationFromStatus(thread: number): ProcessRelation {
  const status = readFileSync(`/proc/${thread}/status`, "latin1");
  return { process: field(status, "Tgid"), parent: field(status, "PPid") };
}

/** A finding, not a refusal: just-in-time compilers need it, and so does injected code. Once seen it stays for that image. */
function hasWritableCode(process: KnownProcess, file: FileIdentity): boolean {
  const image = imageOf(file);
  const known = process.mappings?.image === image ? process.mappings : undefined;
  const now = performance.now();
  if (known !== undefined && (known.writableCode || now - known.time < MAPPINGS_INTERVAL)) return known.writableCode;
  const writableCode = WRITABLE_CODE.test(readFileSync(`/proc/${process.pid}/maps`, "latin1"));
  process.mappings = { image, time: now, writableCode };
  return writableCode;
}

function imageOf({ device, inode }: FileIdentity): string {
  return `${device}:${inode}`;
}

function commandLineOf(process: KnownProcess, file: FileIdentity): string {
  const image = imageOf(file);
  if (process.commandLine?.image === image) return process.commandLine.text;
  const fd = openSync(`/proc/${process.pid}/cmdline`, "r");
  try {
    const buffer = Buffer.alloc(COMMAND_LINE_BYTES);
    const bytes = buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, 0)).toString();
    const text = bytes.replaceAll("\0", " ").trimEnd();
    process.commandLine = { image, text };
    return text;
  } finally {
    closeSync(fd);
  }
}
