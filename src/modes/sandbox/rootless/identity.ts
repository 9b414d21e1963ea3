import { OpenShellError } from "../../../error.ts";

/** The ids of an ordinary user who runs the supervisor; undefined for root, who can choose others for the agent. */
export function ordinaryUser(): { readonly uid: number; readonly gid: number } | undefined {
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  return uid === 0 ? undefined : { uid, gid };
}

/**
 * Refuses a policy that asks for another user than the caller: in its user namespace there is no other.
 * @param account looks a name up in the host's accounts; undefined when there is none.
 */
export function requireOwnUser(asked: string, own: number, account: (name: string) => number | undefined): void {
  if (asked === "sandbox" || (/^\d+$/.test(asked) ? Number(asked) : account(asked)) === own) return;
  throw new OpenShellError(
    "failed_precondition",
    `process.run_as_user is ${asked}, but an ordinary user can run programs only as itself (uid ${own})`,
    {
      next: "set process.run_as_user to `sandbox`, or run openshell as root",
    },
  );
}
