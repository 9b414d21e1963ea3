import { readFileSync } from "node:fs";
import { OpenShellError } from "../../../error.ts";
import { errnoName } from "../../../linux/kernel-error.ts";
import { userNamespaceFailures } from "../../../linux/user-namespace.ts";

/** What a person is told when the kernel lets an ordinary user make no user namespace, or no use of it. */
export interface Obstacle {
  readonly problem: string;
  /** What to change: a sysctl with its value, when one explains it. */
  readonly remedy: string;
}

const ROOT_INSTEAD = "or run it as root";

/** A sysctl of the machine; undefined where the kernel has no such switch. */
type ReadSysctl = (name: string) => string | undefined;

export const readSysctl: ReadSysctl = (name) => {
  try {
    return readFileSync(`/proc/sys/${name.replaceAll(".", "/")}`, "utf8").trim();
  } catch {
    return undefined;
  }
};

/** Says which switch of the machine explains that a step failed with an error number. */
export function explainObstacle(step: string, errno: number, sysctl: ReadSysctl = readSysctl): Obstacle {
  const problem = `this machine does not let an ordinary user ${step}: ${errnoName(errno)}`;
  const set = (name: string, value: string) => ({
    problem,
    remedy: `set the sysctl ${name} to ${value} (as root: sysctl -w ${name}=${value}), ${ROOT_INSTEAD}`,
  });
  if (step === userNamespaceFailures.create) {
    if (sysctl("kernel.unprivileged_userns_clone") === "0") return set("kernel.unprivileged_userns_clone", "1");
    if (sysctl("user.max_user_namespaces") === "0") return set("user.max_user_namespaces", "15000");
    if (errnoName(errno) === "ENOSPC") return { problem, remedy: `raise the sysctl user.max_user_namespaces, ${ROOT_INSTEAD}` };
  }
  if (sysctl("kernel.apparmor_restrict_unprivileged_userns") === "1") {
    const name = "kernel.apparmor_restrict_unprivileged_userns";
    const remedy = `install an AppArmor profile that gives the openshell binary \`userns,\`, or set the sysctl ${name} to 0, ${ROOT_INSTEAD}`;
    return { problem, remedy };
  }
  return {
    problem,
    remedy: `allow user namespaces to this user: in a container its seccomp profile and capabilities decide, elsewhere a security module or CONFIG_USER_NS; ${ROOT_INSTEAD}`,
  };
}

export function obstacleError({ problem, remedy }: Obstacle): OpenShellError {
  return new OpenShellError("failed_precondition", problem, { next: remedy });
}
