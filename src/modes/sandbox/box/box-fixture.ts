import { chmodSync, chownSync, createReadStream, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { close } from "../../../linux/descriptors.ts";
import type { Box, BoxSpec, Child, LaunchSpec } from "./contract.ts";
import { openBox } from "./open.ts";

/** A real box for tests, with the restrictive default policy's paths, and a way to run things in it. */

export const AGENT_UID = 2_000_065_001;

export const defaultFilesystem = {
  includeWorkdir: true,
  readOnly: ["/usr", "/lib", "/proc", "/dev/urandom", "/app", "/etc", "/var/log"],
  readWrite: ["/sandbox", "/tmp", "/dev/null"],
};

export interface TestBox extends AsyncDisposable {
  readonly box: Box;
  readonly spec: BoxSpec;
  /** Runs a shell script to its end. */
  sh(script: string): Promise<Result>;
  run(argv: readonly string[], environment?: Record<string, string>): Promise<Result>;
}

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface HostView {
  readonly name: string;
  /** `Z`: ended and not yet waited for. */
  readonly state: string;
  readonly parent: number;
  readonly group: number;
}

/** The agent's processes as the host sees them; a program in the box sees only those of its own launch. */
export function agentProcesses(): HostView[] {
  return readdirSync("/proc").flatMap((pid) => {
    try {
      if (!/^\d+$/.test(pid) || !new RegExp(`^Uid:\\s+${AGENT_UID}\\s`, "m").test(readFileSync(`/proc/${pid}/status`, "latin1"))) return [];
      const [, name = "", rest = ""] = /^\d+ \((.*)\) (.*)$/s.exec(readFileSync(`/proc/${pid}/stat`, "latin1")) ?? [];
      const [state = "", parent, group] = rest.split(" ");
      return [{ name, state, parent: Number(parent), group: Number(group) }];
    } catch {
      return []; // ended meanwhile
    }
  });
}

export function testSpec(overrides: Partial<BoxSpec> = {}): BoxSpec {
  const directory = mkdtempSync(join(tmpdir(), "openshell-box-"));
  const workspace = join(directory, "workspace");
  const runDirectory = join(directory, "run");
  mkdirSync(workspace);
  mkdirSync(runDirectory, { mode: 0o700 });
  chownSync(workspace, AGENT_UID, AGENT_UID);
  chmodSync(workspace, 0o700);
  return {
    sandboxName: "test-box",
    filesystem: defaultFilesystem,
    landlock: "best_effort",
    uid: AGENT_UID,
    gid: AGENT_UID,
    workspace,
    runDirectory,
    mounts: [],
    ...overrides,
  };
}

export async function openTestBox(overrides: Partial<BoxSpec> = {}): Promise<TestBox> {
  const spec = testSpec(overrides);
  const remove = () => rmSync(join(spec.runDirectory, ".."), { recursive: true, force: true });
  const box = await openBox(spec).catch((reason) => {
    remove();
    throw reason;
  });
  const run = async (argv: readonly string[], environment: Record<string, string> = {}) =>
    collect(await box.launch(launchOf(argv, environment)));
  return {
    box,
    spec,
    run,
    sh: (script) => run(["/bin/sh", "-c", script]),
    async [Symbol.asyncDispose]() {
      await box[Symbol.asyncDispose]();
      remove();
    },
  };
}

export function launchOf(argv: readonly string[], environment: Record<string, string> = {}): LaunchSpec {
  return {
    argv,
    environment: { PATH: "/usr/bin:/bin", HOME: "/sandbox", LC_ALL: "C", ...environment },
    workdir: "/sandbox",
    stdio: "pipe",
  };
}

/** Output and exit code of a child with pipes. */
export async function collect(child: Child): Promise<Result> {
  if (child.stdio === undefined) throw new Error("the child has no pipes");
  close(child.stdio.stdin);
  const [stdout, stderr, code] = await Promise.all([readAll(child.stdio.stdout), readAll(child.stdio.stderr), child.exited]);
  return { code, stdout, stderr };
}

/** Reads a descriptor to its end and closes it; a terminal ends with EIO. */
export async function readAll(fd: number): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of createReadStream("", { fd })) chunks.push(chunk as Buffer);
  } catch (reason) {
    if ((reason as NodeJS.ErrnoException).code !== "EIO") throw reason;
  }
  return Buffer.concat(chunks).toString();
}
