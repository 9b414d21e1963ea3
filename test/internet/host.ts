/**
 * The host's side: PID 1 of a pid namespace with its own mount namespace and the only route to the test internet. It starts what the test
 * asks for, and when it ends the kernel ends everything it started, however detached.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { type ChannelEvent, serveChannel } from "./channel.ts";
import { mountProc, reapOrphans } from "./kernel.ts";

export interface StartRequest {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
}

/** A process of the host, as /proc shows it. */
export interface HostProcess {
  readonly pid: number;
  readonly parent: number;
  /** `Z`: ended and not yet waited for. */
  readonly state: string;
  readonly commandLine: string;
}

const children = new Map<number, Subprocess<"pipe", "pipe", "pipe">>();

async function forward(stream: ReadableStream<Uint8Array>, pid: number, name: string, emit: (event: ChannelEvent) => void): Promise<void> {
  for await (const chunk of stream) emit({ event: "output", pid, stream: name, data: Buffer.from(chunk).toString("base64") });
}

function start({ argv, env, cwd }: StartRequest, emit: (event: ChannelEvent) => void): number {
  const child = Bun.spawn({ cmd: [...argv], env: { ...env }, cwd, stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  const { pid } = child;
  children.set(pid, child);
  const output = Promise.all([forward(child.stdout, pid, "stdout", emit), forward(child.stderr, pid, "stderr", emit)]);
  child.exited.then(async () => {
    // What the program left running may keep the pipes open; the exit is reported all the same, after what is there already.
    await Promise.race([output, Bun.sleep(OUTPUT_GRACE_MS)]);
    children.delete(pid);
    emit({ event: "exit", pid, code: child.exitCode, signal: child.signalCode });
  });
  return pid;
}

/** Output that a dead program has written but that we have not read yet arrives well within this. */
const OUTPUT_GRACE_MS = 500;

function pids(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function processes(): HostProcess[] {
  return pids().flatMap((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const [state = "", parent = "0"] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const commandLine = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      return [{ pid, parent: Number(parent), state, commandLine }];
    } catch {
      return []; // ended meanwhile
    }
  });
}

/** Every namespace that a process of the host is in or holds a descriptor of. */
function namespaces(): string[] {
  const found = new Set<string>();
  const note = (path: string) => {
    try {
      const target = readlinkSync(path);
      if (/^(mnt|net|pid|ipc|uts|user|cgroup|time):\[/.test(target)) found.add(target);
    } catch {
      // ended or closed meanwhile
    }
  };
  for (const pid of pids()) {
    for (const folder of ["ns", "fd"]) {
      try {
        for (const name of readdirSync(`/proc/${pid}/${folder}`)) note(`/proc/${pid}/${folder}/${name}`);
      } catch {
        // ended meanwhile
      }
    }
  }
  return [...found].sort();
}

async function main(): Promise<void> {
  const directory = process.argv[2] ?? "";
  mountProc();
  process.on("SIGCHLD", () => reapOrphans(new Set(children.keys())));
  await serveChannel(join(directory, "host.sock"), {
    start: (request: StartRequest, emit) => start(request, emit),
    write: ({ pid, data }: { pid: number; data: string }) => {
      const stdin = children.get(pid)?.stdin;
      stdin?.write(Buffer.from(data, "base64"));
      stdin?.flush();
    },
    closeInput: ({ pid }: { pid: number }) => {
      children.get(pid)?.stdin.end();
    },
    kill: ({ pid, signal }: { pid: number; signal: NodeJS.Signals }) => process.kill(pid, signal),
    processes,
    namespaces,
    mounts: () => readFileSync("/proc/self/mountinfo", "utf8").trim().split("\n"),
    reap: () => reapOrphans(new Set(children.keys())),
  });
  console.log("ready");
  process.stdin.on("end", () => process.exit(0)).resume();
}

// Ctrl-C goes to the whole process group; our end is the end of stdin, so that everything is taken down in order.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
await main();
