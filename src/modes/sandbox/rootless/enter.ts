import { accessSync, constants } from "node:fs";
import { OpenShellError } from "../../../error.ts";
import { hasCapability } from "../../../linux/capabilities.ts";
import { close } from "../../../linux/descriptors.ts";
import { becomeExecutable, memoryExecutable } from "../../../linux/launcher/executable.ts";
import { LauncherImage } from "../../../linux/launcher/image.ts";
import { execOwnImage, openOwnImage } from "../../../linux/launcher/own-image.ts";
import { nameProcess } from "../../../linux/process-state.ts";
import { architecture } from "../../../linux/syscall-numbers.ts";
import { enterOwnUserNamespace, useOwnUserNamespace } from "../../../linux/user-namespace.ts";
import { ownEnvironment, selfCommand } from "../../../reexec.ts";
import { explainObstacle, type Obstacle, obstacleError } from "./obstacle.ts";

/** Tells the second start of this program that it is the second one; never seen by a program in the box. */
const MARKER = "OPENSHELL_IN_USER_NAMESPACE";

/** Variables that would steer the runtime of the second start. */
const STEERING = /^(BUN_|NODE_|SSL_CERT_|LD_|JSC_)|^(https?|all|no)_proxy$/i;

/** Who this process is, by number; never root. */
interface Caller {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Returns when this process may build a box. An ordinary user does not: then this process starts again as itself, with the same arguments,
 * pid and standard streams, inside a user namespace of its own. Throws when the machine does not permit that, with what to change.
 */
export function gainPrivileges(): void {
  if (hasCapability("sys_admin")) {
    if (process.env[MARKER] !== undefined) nameProcess("openshell");
    return;
  }
  const caller = ordinaryCaller();
  if (process.env[MARKER] !== undefined) throw obstacleError(explainObstacle("use its own user namespace", 1));
  const obstacle = findObstacle(caller);
  if (obstacle !== undefined) throw obstacleError(obstacle);
  const image = newImage();
  enterOwnUserNamespace(image, caller.uid, caller.gid);
  execOwnImage(image, {
    fd: openOwnImage(),
    argv: [...selfCommand(), ...process.argv.slice(2)],
    environment: { ...withoutSteering(process.env), [MARKER]: "1" },
    failure: "Error: openshell cannot be started again: its user must be allowed to read and run it\n",
  });
  becomeExecutable(memoryExecutable("openshell-launcher", image.build()));
}

/** Descriptor of our image in a launcher that was spawned: behind its standard streams. */
const IMAGE_FD = 3;

/** Runs this program with these words in a user namespace of the caller's; for helpers of an unprivileged process. Standard output is piped. */
export function spawnInUserNamespace(words: readonly string[]) {
  const { uid, gid } = ordinaryCaller();
  const image = newImage();
  enterOwnUserNamespace(image, uid, gid);
  const environment = { ...ownEnvironment(), [MARKER]: "1" };
  execOwnImage(image, { fd: IMAGE_FD, argv: [...selfCommand(), ...words], environment, failure: "start this program again" });
  using launcher = memoryExecutable("openshell-launcher", image.build());
  const own = openOwnImage();
  try {
    return Bun.spawn([launcher.path], { cwd: "/", env: {}, stdio: ["ignore", "pipe", "inherit", own] });
  } finally {
    close(own);
  }
}

function withoutSteering(environment: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) if (value !== undefined && !STEERING.test(name)) kept[name] = value;
  return { ...kept, BUN_BE_BUN: "" };
}

/** Tries in a process of its own whether this user may make a user namespace and use it; undefined when nothing is in the way. */
export function findObstacle({ uid, gid }: Caller = ordinaryCaller()): Obstacle | undefined {
  // A process that runs from a file which it may not read is nobody's to look at, not even its own (proc(5), PR_SET_DUMPABLE).
  if (!isReadable(process.execPath)) {
    return { problem: `this user may run ${process.execPath} but not read it`, remedy: `make it readable: chmod a+r ${process.execPath}` };
  }
  const image = newImage();
  enterOwnUserNamespace(image, uid, gid);
  useOwnUserNamespace(image);
  image.call("exit_group", [0]);
  using launcher = memoryExecutable("openshell-launcher", image.build());
  try {
    const { exitCode, stderr } = Bun.spawnSync([launcher.path], { cwd: "/", env: {} });
    return exitCode === 0 ? undefined : explainObstacle(stderr.toString(), exitCode);
  } catch {
    return { problem: "this machine does not let a user start a program in memory", remedy: "set the sysctl vm.memfd_noexec to 0 or 1" };
  }
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

function ordinaryCaller(): Caller {
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  if (uid === 0) {
    throw new OpenShellError(
      "failed_precondition",
      "this process is root without the capability CAP_SYS_ADMIN, which a sandbox takes to build",
      {
        next: "give the container CAP_SYS_ADMIN and CAP_NET_ADMIN, or run openshell as an ordinary user where user namespaces are allowed",
      },
    );
  }
  if (gid === 0) {
    throw new OpenShellError("failed_precondition", "the primary group of this user is root's, and the agent never gets that", {
      next: "use a user with a group of its own",
    });
  }
  return { uid, gid };
}

function newImage(): LauncherImage {
  if (architecture === undefined) {
    throw new OpenShellError("failed_precondition", `there is no launcher for ${process.arch}`, { next: "use x86-64 or arm64" });
  }
  return new LauncherImage(architecture);
}
