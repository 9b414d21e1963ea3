import { closeSync, fstatSync, mkdirSync, openSync, readFileSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { OpenShellError } from "../../error.ts";
import { tryLock } from "../../linux/file-lock.ts";
import type { ProcessPolicy } from "../../policy/model.ts";
import { ordinaryUser, requireOwn } from "./rootless/identity.ts";

/** One uid per sandbox, far above accounts and subordinate ids; the gateway takes them from the start of the range, `sandbox run` from its end. */
const FIRST_UID = 2_000_000_000;
const LAST_UID = 2_000_065_535;

const LOCK_DIRECTORY = "/run/openshell/uids";

/** The ids a program in the box runs as; given back at the end. */
export interface AgentIdentity extends Disposable {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Who the agent is: a free uid of the range for `sandbox`, else the account or number that the policy names, never 0. Started by an
 * ordinary user, it is that user.
 * @throws OpenShellError for an unknown account, uid 0, or when every uid is taken.
 */
export function leaseAgentIdentity(policy: ProcessPolicy | undefined): AgentIdentity {
  const user = policy?.runAsUser || "sandbox";
  // Where only the user is named the group is that user's; `sandbox` is what the policy's canonical form fills in.
  const group = !policy?.runAsGroup || policy.runAsGroup === "sandbox" ? user : policy.runAsGroup;
  const own = ordinaryUser();
  if (own !== undefined) {
    requireOwn("user", user, own.uid, (name) => accountIds(name).uid);
    if (group !== user) requireOwn("group", group, own.gid, groupId);
    return { ...own, [Symbol.dispose]: () => {} };
  }
  if (user === "sandbox") return leaseFromRange();
  const account = /^\d+$/.test(user) ? { uid: Number(user), gid: Number(user) } : accountIds(user);
  const gid = /^\d+$/.test(group) ? Number(group) : group === user ? account.gid : groupId(group);
  // Also false for an entry without numbers.
  if (!(account.uid > 0 && gid > 0)) {
    throw new OpenShellError("invalid_argument", "process.run_as_user: the agent never runs as root, nor in its group", {
      next: "set process.run_as_user to `sandbox`",
    });
  }
  return { uid: account.uid, gid, [Symbol.dispose]: () => {} };
}

function leaseFromRange(): AgentIdentity {
  mkdirSync(LOCK_DIRECTORY, { recursive: true, mode: 0o700 });
  for (let uid = LAST_UID; uid >= FIRST_UID; uid--) {
    const path = join(LOCK_DIRECTORY, String(uid));
    const descriptor = openSync(path, "w", 0o600);
    // Between open and lock its holder may have ended and removed it: a lock on a file without a name excludes nobody.
    if (tryLock(descriptor) && fstatSync(descriptor).nlink > 0) {
      return {
        uid,
        gid: uid,
        [Symbol.dispose]() {
          unlinkSync(path);
          closeSync(descriptor);
        },
      };
    }
    closeSync(descriptor);
  }
  throw new OpenShellError("resource_exhausted", `all ${LAST_UID - FIRST_UID + 1} sandbox uids are in use`, { next: "end some sandboxes" });
}

/** passwd(5): name, password, uid, gid. */
function accountIds(name: string): { uid: number; gid: number } {
  const [, uid, gid] = lookUp("/etc/passwd", name, "user");
  return { uid: Number(uid), gid: Number(gid) };
}

/** group(5): name, password, gid. */
function groupId(name: string): number {
  const [, gid] = lookUp("/etc/group", name, "group");
  return Number(gid);
}

/** The fields after the name. Accounts of a directory service are not asked for: the answer would depend on a network. */
function lookUp(file: string, name: string, kind: "user" | "group"): string[] {
  const line = readFileSync(file, "utf8")
    .split("\n")
    .find((entry) => entry.startsWith(`${name}:`));
  if (line === undefined) {
    throw new OpenShellError("failed_precondition", `process.run_as_${kind}: ${file} has no entry '${name}'`, {
      next: `set process.run_as_${kind} to \`sandbox\`, to a number, or to an account of this host`,
    });
  }
  return line.split(":").slice(1);
}
