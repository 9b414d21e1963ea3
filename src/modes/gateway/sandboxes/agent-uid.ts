import { OpenShellError } from "../../../error.ts";
import type { Policy } from "../../../policy/model.ts";

/**
 * The uid that a policy asks for by number; undefined for `sandbox`, which means one of the sandbox's own. A number could be anyone's on
 * this machine, so only the operator's count. The group is the user's: its number, or `sandbox`.
 * @param listed uids that may be named.
 * @throws OpenShellError `invalid_argument` for every other number.
 */
export function requestedUid({ process }: Policy, listed: readonly number[]): number | undefined {
  const user = process?.runAsUser || "sandbox";
  const group = process?.runAsGroup || "sandbox";
  if (user !== "sandbox" && !listed.includes(Number(user))) {
    throw new OpenShellError("invalid_argument", `process.run_as_user: uid ${user} is not one that the operator lists`, {
      next: `use \`sandbox\`, or start the gateway with --allow-uid ${user}`,
    });
  }
  if (group !== "sandbox" && group !== user) {
    throw new OpenShellError("invalid_argument", `process.run_as_group: expected "sandbox" or the user's number, got "${group}"`, {
      next: "leave run_as_group out",
    });
  }
  return user === "sandbox" ? undefined : Number(user);
}
