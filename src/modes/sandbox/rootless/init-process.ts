import { OpenShellError } from "../../../error.ts";
import { close, closeAll, pipe, readInto } from "../../../linux/descriptors.ts";
import { memoryExecutable } from "../../../linux/launcher/executable.ts";
import { Cell, LauncherImage } from "../../../linux/launcher/image.ts";
import { execOwnImage, openOwnImage } from "../../../linux/launcher/own-image.ts";
import { namespaceFlags } from "../../../linux/namespaces.ts";
import { architecture } from "../../../linux/syscall-numbers.ts";
import { ownEnvironment, selfCommand } from "../../../reexec.ts";

/** Descriptors of the starter behind those that the started program gets: to report the pid, and our image. */
const REPORT_FD = 5;
const IMAGE_FD = 6;
const SIGKILL = 9;
const SIGCHLD = 17;
const PR_SET_PDEATHSIG = 1;

/** A program that is pid 1 of a new pid namespace. */
export interface NamespacedProcess {
  /** Its pid here. */
  readonly pid: number;
  /** Settles when it has ended, and with it everything in its namespace. */
  readonly exited: Promise<unknown>;
}

/**
 * Starts this program again, with these words, as pid 1 of a new pid namespace. A small starter makes the namespace and waits for the program
 * in it: a thread that has once left its own pid namespace for its children can come back only with privileges over that one, which an
 * ordinary user has not, and until then the runtime could not start a thread and would abort. `stdio` are descriptors 0 to 4 of the program.
 */
export function spawnInPidNamespace(
  words: readonly string[],
  stdio: readonly ["inherit", "inherit", "inherit", number, number],
): NamespacedProcess {
  const report = pipe();
  using launcher = memoryExecutable("openshell-starter", starter(words));
  const image = openOwnImage();
  try {
    const waiter = Bun.spawn([launcher.path], { cwd: "/", env: {}, stdio: [...stdio, report.write, image] });
    close(report.write);
    const answer = Buffer.alloc(8);
    if (readInto(report.read, answer) !== answer.length) {
      throw new OpenShellError("failed_precondition", "no process can be started in a new pid namespace", {
        next: "see `openshell doctor` for what this machine permits",
      });
    }
    return { pid: answer.readUInt32LE(0), exited: waiter.exited };
  } finally {
    closeAll([report.read, image]);
  }
}

function starter(words: readonly string[]): Buffer {
  if (architecture === undefined) throw new OpenShellError("failed_precondition", `there is no launcher for ${process.arch}`);
  const pid = new Cell();
  const starting = new LauncherImage(architecture)
    // The terminal's Ctrl-C is for the program in the box, not for the starter.
    .call("setsid", [])
    .call("clone", [namespaceFlags.pid | SIGCHLD, 0, 0, 0, 0], {
      failure: "Error: no new pid namespace\n",
      result: pid,
      whenPositive: "wait",
    })
    // Without its starter nobody would know that it runs.
    .call("prctl", [PR_SET_PDEATHSIG, SIGKILL], { failure: "Error: no death signal\n" })
    .call("close", [REPORT_FD]);
  execOwnImage(starting, {
    fd: IMAGE_FD,
    argv: [...selfCommand(), ...words],
    environment: ownEnvironment(),
    failure: "Error: openshell cannot be started again\n",
  });
  return starting
    .label("wait")
    .call("write", [REPORT_FD, pid, pid.bytes], { failure: "Error: the supervisor has gone\n" })
    .call("close_range", [0, 0xffffffff, 0])
    .call("wait4", [-1, 0, 0, 0])
    .call("exit_group", [0])
    .build();
}
