import { closeSync, openSync, readFileSync, readlinkSync, readSync, statSync } from "node:fs";
import { parentOf, startTime } from "../../../linux/process-facts.ts";
import type { FileIdentity, ProgramIdentity } from "./contract.ts";

/** Evidence for people; more would only fill the record. */
const COMMAND_LINE_BYTES = 512;
/** Deeper trees exist only to make us walk. */
const MAX_ANCESTORS = 64;
const DELETED = " (deleted)";

export type ProgramFacts = { readonly program: ProgramIdentity } | { readonly unknown: string };

/** Everything about the process of a thread, read from /proc of the host. The caller makes sure that it does not change meanwhile. */
export function programOfThread(thread: number, initPid: number): ProgramFacts {
  try {
    const status = readFileSync(`/proc/${thread}/status`, "latin1");
    const pid = field(status, "Tgid");
    const start = startTime(pid);
    if (start === undefined) return { unknown: "the process has ended" };
    const exe = executableOf(thread);
    if ("unknown" in exe) return exe;
    return {
      program: {
        pid,
        startTime: start,
        exe: exe.path,
        file: fileOf(thread),
        ancestors: ancestorsOf(pid, field(status, "PPid"), initPid),
        commandLine: commandLineOf(pid),
      },
    };
  } catch (reason) {
    return { unknown: `the process cannot be read: ${reason instanceof Error ? reason.message : String(reason)}` };
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

/** Nearest first, up to our init, which is left out. A parent that is gone or unreadable ends the walk: fewer ancestors match fewer rules. */
function ancestorsOf(pid: number, parent: number, initPid: number): string[] {
  const ancestors: string[] = [];
  let child = pid;
  let current = parent;
  while (current > 1 && current !== initPid && ancestors.length < MAX_ANCESTORS) {
    try {
      const exe = executableOf(current);
      const next = parentOf(current);
      // Only while the child still has this parent is the number the parent's.
      if ("unknown" in exe || next === undefined || parentOf(child) !== current) break;
      ancestors.push(exe.path);
      child = current;
      current = next;
    } catch {
      break;
    }
  }
  return ancestors;
}

function commandLineOf(pid: number): string {
  const fd = openSync(`/proc/${pid}/cmdline`, "r");
  try {
    const buffer = Buffer.alloc(COMMAND_LINE_BYTES);
    const text = buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, 0)).toString();
    return text.replaceAll("\0", " ").trimEnd();
  } finally {
    closeSync(fd);
  }
}
