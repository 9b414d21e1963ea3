import { OpenShellError } from "../../../error.ts";

/** The ids of an ordinary user who runs the supervisor; undefined for root, who can choose others for the agent. */
export function ordinaryUser(): { readonly uid: number; readonly gid: number } | undefined {
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  return uid === 0 ? undefined : { uid, gid };
}

/**
 * Refuses a policy that asks for another user or group than the caller's: in its user namespace there is no other.
 * @param find looks a name up in the host's accounts; throws when there is none.
 */
export function requireOwn(kind: "user" | "group", asked: string, own: number, find: (name: string) => number): void {
  if (asked === "sandbox" || (/^\d+$/.test(asked) ? Number(asked) : find(asked)) === own) return;
  throw new OpenShellError(
    "failed_precondition",
    `process.run_as_${kind} is ${asked}, but an ordinary user can run programs only as itself (${kind} ${own})`,
    { next: `set process.run_as_${kind} to \`sandbox\`, or run openshell as root` },
  );
}
