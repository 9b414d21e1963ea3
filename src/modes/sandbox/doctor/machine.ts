import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { effectiveCapabilities } from "../../../linux/capabilities.ts";
import { architecture } from "../../../linux/syscall-numbers.ts";
import { readSysctl } from "../rootless/obstacle.ts";
import type { Outcome, Probe } from "./finding.ts";

/** What can be known by reading: nothing here changes anything. */
export const machineProbes: readonly Probe[] = [
  { feature: "kernel", meaning: "system call numbers and filters exist for x86-64 and arm64", otherwise: "missing", run: kernel },
  { feature: "privileges", meaning: "root gives each agent a uid of its own", otherwise: "missing", run: privileges },
  {
    feature: "ptrace-scope",
    meaning: "the supervisor takes descriptors of its helpers and of connecting programs",
    otherwise: "missing",
    run: ptraceScope,
  },
  {
    feature: "open-files",
    meaning: "two descriptors for each of at most 2,048 open connections, and what the supervisor itself holds",
    otherwise: "degraded",
    run: openFiles,
  },
  {
    feature: "cgroups",
    meaning: "limits of memory, processors and processes of a sandbox; without them process and file limits alone apply",
    otherwise: "degraded",
    run: cgroups,
  },
];

function kernel(): Outcome {
  const found = `Linux ${release()}, ${process.arch}`;
  if (architecture !== undefined) return found;
  return { state: "missing", found, remedy: "use a machine with x86-64 or arm64" };
}

function privileges(): Outcome {
  const uid = process.getuid?.() ?? 0;
  const administrator = effectiveCapabilities().has("sys_admin");
  if (uid === 0 && administrator) return "root";
  if (uid !== 0) {
    return {
      state: "degraded",
      found: `uid ${uid}: boxes are built in a user namespace of your own, and agents run as you`,
      remedy: "run as root for agents with a uid of their own",
    };
  }
  return {
    state: "missing",
    found: "root without CAP_SYS_ADMIN",
    remedy: "give the container CAP_SYS_ADMIN, CAP_NET_ADMIN and CAP_SYS_PTRACE, or use an ordinary user where user namespaces are allowed",
  };
}

/** Documentation/admin-guide/LSM/Yama.rst: up to 2 a tracer with CAP_SYS_PTRACE may, with 3 nobody may. */
function ptraceScope(): Outcome {
  const scope = readSysctl("kernel.yama.ptrace_scope");
  const found = scope === undefined ? "no Yama" : `kernel.yama.ptrace_scope is ${scope}`;
  if (scope !== "3") return found;
  return { state: "missing", found, remedy: "set kernel.yama.ptrace_scope to 2 or less; from 3 it can be changed only by a reboot" };
}

/** Two for each of 2,048 connections, and as many again for bursts, logs, listeners and the runtime. */
const WANTED_OPEN_FILES = 8192;

function openFiles(): Outcome {
  const limits = /^Max open files\s+(\S+)\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "latin1"));
  const hard = limits?.[2] === "unlimited" ? Number.POSITIVE_INFINITY : Number(limits?.[2] ?? 0);
  const found = `at most ${limits?.[2] ?? "?"} descriptors per process`;
  if (hard >= WANTED_OPEN_FILES) return found;
  return {
    state: "degraded",
    found,
    remedy: `raise the hard limit of open files to ${WANTED_OPEN_FILES} (ulimit -Hn, or LimitNOFILE= of a unit)`,
  };
}

const CGROUP_ROOT = "/sys/fs/cgroup";
const WANTED_CONTROLLERS = ["cpu", "memory", "pids"];

function cgroups(): Outcome {
  const unified = readable(`${CGROUP_ROOT}/cgroup.controllers`);
  const hybrid = readable(`${CGROUP_ROOT}/unified/cgroup.controllers`);
  if (unified !== undefined) return controllers("version 2", unified.trim().split(/\s+/), ownGroup());
  const old = WANTED_CONTROLLERS.filter((name) => existsSync(`${CGROUP_ROOT}/${name}`));
  const version = hybrid === undefined ? "version 1" : "version 1 and 2 (hybrid)";
  if (old.length > 0) return controllers(version, old, `${CGROUP_ROOT}/${old[0]}`);
  return { state: "degraded", found: "none are mounted", remedy: "mount cgroups at /sys/fs/cgroup" };
}

function controllers(version: string, present: readonly string[], place: string): Outcome {
  const absent = WANTED_CONTROLLERS.filter((name) => !present.includes(name));
  const found = `${version}: ${WANTED_CONTROLLERS.filter((name) => present.includes(name)).join(", ") || "none of ours"}`;
  if (absent.length > 0) return { state: "degraded", found, remedy: `let this system use the controllers ${absent.join(", ")}` };
  if (isWritable(place)) return found;
  return { state: "degraded", found: `${found}; not ours to change`, remedy: "as root, or with a delegated group (systemd: Delegate=yes)" };
}

/** The group of this process in the unified hierarchy. */
function ownGroup(): string {
  const path = /^0::(.*)$/m.exec(readable("/proc/self/cgroup") ?? "")?.[1] ?? "/";
  return `${CGROUP_ROOT}${path}`;
}

function readable(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
