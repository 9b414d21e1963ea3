import { readFileSync, statSync } from "node:fs";
import { close } from "../../../../linux/descriptors.ts";
import { createRuleset, LANDLOCK_MINIMUM_ABI, landlockAbi, restrictSelf } from "../../../../linux/landlock.ts";
import { setNoNewPrivileges } from "../../../../linux/privileges.ts";
import { type Finding, type Outcome, probe } from "../finding.ts";

/** What each version brought (Documentation/userspace-api/landlock.rst), as far as a box uses it. */
const additions: readonly { readonly abi: number; readonly what: string }[] = [
  { abi: 3, what: "truncating files" },
  { abi: 5, what: "device ioctls" },
  { abi: 6, what: "signals and abstract Unix sockets to processes outside" },
];

/** Restricts this process, for good. */
export function landlockFinding(): Promise<Finding> {
  return probe({
    feature: "landlock",
    meaning: "each path of the policy, also against programs of the same user; rules for single programs count only with it",
    otherwise: "missing",
    run: restrictedProcess,
  });
}

function restrictedProcess(): Outcome {
  const abi = landlockAbi();
  const remedy = "use a kernel of 6.12 or newer with landlock in its list of security modules (lsm=landlock,…)";
  if (abi < LANDLOCK_MINIMUM_ABI)
    return { state: "missing", found: abi === 0 ? "not in this kernel, or turned off" : `ABI ${abi}`, remedy };
  setNoNewPrivileges();
  const ruleset = createRuleset(abi, [{ path: "/usr", access: "read", required: true }]);
  restrictSelf(ruleset);
  close(ruleset);
  if (!statSync("/usr").isDirectory() || mayRead("/etc/passwd"))
    return { state: "missing", found: `ABI ${abi}, without effect`, remedy: "use another kernel" };
  const absent = additions.filter((addition) => addition.abi > abi);
  const found = `ABI ${abi}: a file outside the rules is refused`;
  if (absent.length === 0)
    return maySignal(process.ppid) ? { state: "degraded", found: `${found}, a signal is not`, remedy } : `${found}, and so is a signal`;
  return { state: "degraded", found: `${found}; not covered: ${absent.map(({ what }) => what).join(", ")}`, remedy };
}

function mayRead(path: string): boolean {
  try {
    readFileSync(path);
    return true;
  } catch {
    return false;
  }
}

function maySignal(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
