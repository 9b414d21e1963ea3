import { OpenShellError } from "../../../error.ts";
import { close, closeOnExecFrom, readInto, replaceDescriptor, writeAll } from "../../../linux/descriptors.ts";
import { errnoName, KernelError } from "../../../linux/kernel-error.ts";
import { createRuleset, restrictSelf } from "../../../linux/landlock.ts";
import { check, cString, stringVector, syscall } from "../../../linux/libc.ts";
import { enterMountNamespace, enterNamespace } from "../../../linux/namespaces.ts";
import { pidfdGetfd } from "../../../linux/pidfd.ts";
import { becomeUser, disableDumping, dropBoundingSet, dropCapabilities, setNoNewPrivileges } from "../../../linux/privileges.ts";
import {
  endFirstWithoutMemory,
  execve,
  newSession,
  RLIMIT_CORE,
  RLIMIT_NOFILE,
  RLIMIT_NPROC,
  resetSignals,
  setFileModeMask,
  setLimit,
} from "../../../linux/process-state.ts";
import { agentFilter, connectFilter } from "../../../linux/seccomp/agent-filter.ts";
import { installFilter, installFilterWithListener } from "../../../linux/seccomp/install.ts";
import { architecture } from "../../../linux/syscall-numbers.ts";
import { setControllingTerminal } from "../../../linux/terminal.ts";
import { type LaunchStep, launchOrder } from "./launch-order.ts";
import { findProgram } from "./program-path.ts";
import { SHIM_INIT_FD, SHIM_STATUS_FD, type ShimAnswer, type ShimOrder } from "./shim-protocol.ts";
import { toWireError } from "./wire-error.ts";

/** Descriptors per process: what a build needs, and few enough that a box cannot exhaust the supervisor's scans. */
const MAX_OPEN_FILES = 4096;
/** Processes and threads of the sandbox's own user id, over all its programs: a fork bomb stops here. */
const MAX_PROCESSES = 1024;
/** Environment and arguments are at most a few MiB (ARG_MAX); more on one line is an error. */
const MAX_ORDER_BYTES = 8 * 1024 * 1024;

/** The last process of ours in front of a confined program: gives up everything, then becomes the program. Returns only on failure. */
export async function main(): Promise<number> {
  let step: LaunchStep | undefined;
  try {
    const launch = new Launch(JSON.parse(readLine(SHIM_STATUS_FD)) as ShimOrder);
    for (step of launchOrder) launch.steps[step]();
  } catch (reason) {
    const error = toWireError(reason);
    try {
      answer({ error: step === undefined || reason instanceof NotRunnable ? error : { ...error, message: `${step}: ${error.message}` } });
    } catch {
      // The sandbox has ended: one that waited in reserve, say. Nobody is there to be told.
    }
  }
  return 1;
}

class Launch {
  readonly #order: ShimOrder;
  #ruleset: number | undefined;
  #program = "";

  constructor(order: ShimOrder) {
    this.#order = order;
  }

  readonly steps: Readonly<Record<LaunchStep, () => void>> = {
    "enter-namespaces": () => {
      const { stdio, view, network } = this.#order.descriptors;
      const [viewNamespace, boxNamespace] = [take(view), take(network)];
      for (const [index, stream] of stdio.entries()) replaceDescriptor(index, take(stream));
      close(SHIM_INIT_FD);
      // The view's /proc lets nobody write.
      endFirstWithoutMemory();
      newSession();
      if (this.#order.terminal) setControllingTerminal(0);
      enterMountNamespace(viewNamespace);
      enterNamespace(boxNamespace, "net");
    },
    "reset-signals": resetSignals,
    "close-descriptors": () => {
      closeOnExecFrom(3);
      setLimit(RLIMIT_NOFILE, MAX_OPEN_FILES);
      setLimit(RLIMIT_CORE, 0);
      setLimit(RLIMIT_NPROC, MAX_PROCESSES);
      setFileModeMask(0o022);
    },
    "open-landlock-paths": () => {
      if (this.#order.landlock) this.#ruleset = createRuleset(this.#order.landlock.abi, this.#order.landlock.rules);
    },
    "drop-bounding-set": dropBoundingSet,
    "set-ids": () => {
      becomeUser(this.#order.uid, this.#order.gid);
      disableDumping();
      // As the agent: a directory or program that it may not use is an error here and not a surprise later.
      const entered = syscall("chdir", cString(this.#order.workdir));
      if (entered < 0)
        throw new NotRunnable("failed_precondition", `working directory ${this.#order.workdir}: ${errnoName(-entered)}`, {
          next: "name a directory that exists in the sandbox and that its user may enter",
        });
      this.#program = findCommand(this.#order);
    },
    "drop-capabilities": dropCapabilities,
    "no-new-privs": setNoNewPrivileges,
    landlock: () => {
      if (this.#ruleset === undefined) return;
      restrictSelf(this.#ruleset);
      close(this.#ruleset);
    },
    seccomp: () => {
      if (architecture === undefined) throw new OpenShellError("failed_precondition", "there is no seccomp filter for this architecture");
      const listener = installFilterWithListener(connectFilter(architecture));
      answer({ listener });
      // Until the supervisor has taken the descriptor nobody would answer a connect(2).
      readLine(SHIM_STATUS_FD);
      installFilter(agentFilter(architecture));
    },
    exec: () => {
      const argv = stringVector(this.#order.argv);
      const environment = stringVector(Object.entries(this.#order.environment).map(([name, value]) => `${name}=${value}`));
      throw execFailure(this.#program, -execve(cString(this.#program), argv, environment));
    },
  };
}

/** Takes a copy of a descriptor of init. */
function take(descriptor: number): number {
  return pidfdGetfd(SHIM_INIT_FD, descriptor);
}

/** A failure whose message already says everything; the name of the step would only confuse. */
class NotRunnable extends OpenShellError {}

function findCommand(order: ShimOrder): string {
  try {
    return findProgram(order.argv[0] ?? "", order.environment, order.workdir);
  } catch (reason) {
    const error = OpenShellError.from(reason);
    throw new NotRunnable(error.code, error.message, error.next === undefined ? {} : { next: error.next });
  }
}

function execFailure(program: string, errno: number): NotRunnable {
  const name = errnoName(errno);
  if (name === "EACCES") {
    return new NotRunnable("permission_denied", `${program} may not be run in the sandbox: EACCES`, {
      next: "list its directory under filesystem_policy.read_only",
    });
  }
  if (name === "ENOENT") {
    return new NotRunnable("failed_precondition", `${program} needs an interpreter or loader that is not in the sandbox`, {
      next: "see its first line (#!) or `file` for which one, and mount it",
    });
  }
  const error = new KernelError("execve", errno, program);
  return new NotRunnable(error.code, error.message, { next: "see that it is a program for this machine" });
}

function answer(message: ShimAnswer): void {
  writeAll(SHIM_STATUS_FD, Buffer.from(`${JSON.stringify(message)}\n`));
}

/** Blocks until a whole line has come. */
function readLine(fd: number): string {
  const buffer = Buffer.alloc(65_536);
  const chunks: Buffer[] = [];
  let size = 0;
  for (;;) {
    const count = check(readInto(fd, buffer), "read");
    if (count === 0) throw new OpenShellError("aborted", "the sandbox ended");
    size += count;
    if (size > MAX_ORDER_BYTES) {
      throw new OpenShellError("resource_exhausted", `launch order of ${size} bytes, at most ${MAX_ORDER_BYTES} are accepted`);
    }
    chunks.push(Buffer.from(buffer.subarray(0, count)));
    if (buffer[count - 1] === 0x0a) return Buffer.concat(chunks).toString();
  }
}
