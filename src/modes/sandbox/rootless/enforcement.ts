import { groupsCanBeDropped } from "../../../linux/privileges.ts";
import type { Enforcement } from "../box/contract.ts";

/** Which user the agent is, and what that leaves open: `uid` is its own, or that of whoever started the sandbox. */
export function userEnforcement(agent: { readonly uid: number; readonly gid: number }): Enforcement {
  const rights = "no capabilities, no new privileges";
  if (process.getuid?.() !== agent.uid) {
    return { feature: "user", requested: "required", enforced: "yes", detail: `uid ${agent.uid}, gid ${agent.gid}, ${rights}` };
  }
  const groups = groupsCanBeDropped() ? [] : (process.getgroups?.() ?? []).filter((group) => group !== agent.gid);
  const kept = groups.length > 0 ? `; it keeps your ${groups.length} other groups, which no user may give up` : "";
  const detail = `uid ${agent.uid} is yours as well, ${rights}: its view, Landlock and seccomp keep it from what else is yours${kept}`;
  return { feature: "user", requested: "a user of its own", enforced: "your user", detail };
}
