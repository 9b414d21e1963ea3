import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import type { ExecutableFacts } from "../../../linux/process-directory.ts";
import type { FileIdentity, ProgramIdentity } from "./contract.ts";
import type { ConnectRecord } from "./identity-table.ts";
import { type FoundTask, type KnownTask, KnownTasks } from "./known-tasks.ts";
import { isOwnExecutable } from "./own-executable.ts";

/** Evidence for people; more would only fill the record. */
const COMMAND_LINE_BYTES = 512;
/** Deeper trees exist only to make us walk. */
const MAX_ANCESTORS = 64;
const DELETED = " (deleted)";
/** A mapping that is writable and executable at once (/proc/PID/maps, proc(5)). */
const WRITABLE_CODE = /^[0-9a-f]+-[0-9a-f]+ .wx/m;
/** The list of mappings of a large program takes as long as a whole connection, so it is not read for each of many. Milliseconds. */
const MAPPINGS_INTERVAL = 1000;

/** The program of a task; the same object as long as the kernel says the same about it. */
interface Image extends ExecutableFacts {
  /** Path inside the view, or why there is none that a rule could mean. */
  readonly name: { readonly path: string } | { readonly unknown: string };
  readonly file: FileIdentity;
  readonly own: boolean;
}

interface Memory {
  image: Image;
  /** First bytes of the command line of that image; evidence only. */
  commandLine?: string;
  /** What its mappings were like when they were last read (performance.now, milliseconds). */
  mappings?: { readonly time: number; readonly writableCode: boolean };
  /** What was told of it last. */
  record?: ConnectRecord & { readonly kind: "program" };
}

export type Caller = FoundTask<Memory>;
type Task = KnownTask<Memory>;

/**
 * Everything about the process of a thread that waits in a call, and so does not change meanwhile. The image is asked for anew each time,
 * because exec replaces it; what stays for the life of a process, or of its image, is remembered.
 */
export class ProgramReader {
  readonly #tasks = new KnownTasks<Memory>();
  readonly #initPid: number;

  /** `initPid`: host pid of the box's init, where every line of ancestors ends. */
  constructor(initPid: number) {
    this.#initPid = initPid;
  }

  /** The waiting thread; undefined when it was killed meanwhile. */
  caller(thread: number): Caller | undefined {
    return this.#tasks.find(thread);
  }

  /** What is recorded of it; the same object again when nothing has changed. */
  read({ task, parent }: Caller): ConnectRecord {
    try {
      const { name, file } = imageOf(task);
      if ("unknown" in name) return { kind: "unknown", reason: name.unknown };
      const program: ProgramIdentity = {
        pid: task.process,
        startTime: task.startTime,
        exe: name.path,
        file,
        ancestors: this.#ancestorsOf(task, parent),
        commandLine: commandLineOf(task),
        ...(hasWritableCode(task) ? { writableCode: true } : {}),
      };
      const { memory } = task;
      if (memory?.record !== undefined && isSame(memory.record.program, program)) return memory.record;
      const record = { kind: "program", program } as const;
      if (memory !== undefined) memory.record = record;
      return record;
    } catch (reason) {
      return { kind: "unknown", reason: `the process cannot be read: ${reason instanceof Error ? reason.message : String(reason)}` };
    }
  }

  close(): void {
    this.#tasks.closeAll();
  }

  /**
   * Nearest first, up to our init, which is left out. A parent that is gone or unreadable, or our own executable in the agent's hands, ends
   * the walk: fewer ancestors match fewer rules.
   */
  #ancestorsOf(task: Task, parent: number): string[] {
    const ancestors: string[] = [];
    let child = task;
    let current = parent;
    while (current > 1 && current !== this.#initPid && ancestors.length < MAX_ANCESTORS) {
      const found = this.#tasks.find(current);
      if (found === undefined) break;
      // Held only since the child was asked: the number is the parent's if the child still has this parent.
      if (found.fresh && this.#tasks.find(child.id)?.parent !== current) break;
      try {
        const { name, own } = imageOf(found.task);
        if ("unknown" in name || own) break;
        ancestors.push(name.path);
      } catch {
        break;
      }
      child = found.task;
      current = found.parent;
    }
    return ancestors;
  }
}

/** True when both records speak of the same image: program file and descent, not the process. */
export function sameImage(one: ProgramIdentity, other: ProgramIdentity): boolean {
  return (
    one === other ||
    (one.exe === other.exe &&
      one.file.device === other.file.device &&
      one.file.inode === other.file.inode &&
      one.file.ctimeNs === other.file.ctimeNs &&
      sameWords(one.ancestors, other.ancestors))
  );
}

/** True when nothing of what a task may change is different: the same image is the same object. */
function isSame(one: ProgramIdentity, other: ProgramIdentity): boolean {
  return (
    one.file === other.file &&
    one.commandLine === other.commandLine &&
    one.writableCode === other.writableCode &&
    sameWords(one.ancestors, other.ancestors)
  );
}

function sameWords(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((word, index) => word === other[index]);
}

/** The image of this moment; what is remembered of another one is forgotten. */
function imageOf(task: Task): Image {
  const known = task.memory?.image;
  const facts = task.directory.executable(known);
  if (facts === known) return known;
  const { device, inode, size, mtimeNs, ctimeNs } = facts.stat;
  const file = {
    device: String(device),
    inode: String(inode),
    size: Number(size),
    mtimeNs: String(mtimeNs),
    ctimeNs: String(ctimeNs),
  };
  const image = { ...facts, name: nameOf(facts.link), file, own: isOwnExecutable(file) };
  task.memory = { image };
  return image;
}

/**
 * The path inside the view: the kernel prints it up to the root of the mount namespace that the file is in. A deleted file has no path
 * that a rule could mean, and a name that is not UTF-8 cannot be compared.
 */
function nameOf(link: Buffer): Image["name"] {
  const path = link.toString();
  if (Buffer.compare(Buffer.from(path), link) !== 0) return { unknown: "the path of the program is not UTF-8" };
  if (!path.startsWith("/")) return { unknown: `the program ${path} is not a file of the sandbox` };
  if (path.endsWith(DELETED)) return { unknown: `the file of the program was removed or replaced: ${path.slice(0, -DELETED.length)}` };
  return { path };
}

/** A finding, not a refusal: just-in-time compilers need it, and so does injected code. Once seen it stays for that image. */
function hasWritableCode({ process, memory }: Task): boolean {
  const known = memory?.mappings;
  const now = performance.now();
  if (known !== undefined && (known.writableCode || now - known.time < MAPPINGS_INTERVAL)) return known.writableCode;
  const writableCode = WRITABLE_CODE.test(readFileSync(`/proc/${process}/maps`, "latin1"));
  if (memory !== undefined) memory.mappings = { time: now, writableCode };
  return writableCode;
}

function commandLineOf({ process, memory }: Task): string {
  if (memory?.commandLine !== undefined) return memory.commandLine;
  const fd = openSync(`/proc/${process}/cmdline`, "r");
  try {
    const buffer = Buffer.alloc(COMMAND_LINE_BYTES);
    const bytes = buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, 0)).toString();
    const text = bytes.replaceAll("\0", " ").trimEnd();
    if (memory !== undefined) memory.commandLine = text;
    return text;
  } finally {
    closeSync(fd);
  }
}
