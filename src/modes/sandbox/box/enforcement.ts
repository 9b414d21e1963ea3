import { userEnforcement } from "../rootless/enforcement.ts";
import type { BoxSpec, Enforcement } from "./contract.ts";
import type { Trap } from "./trap.ts";
import type { GuardedDirectory, ViewPlan } from "./view-plan.ts";

/** What was asked of the kernel and what is in force, for people: `sandbox get`, the log, `doctor`. */
export function describeEnforcement(spec: BoxSpec, plan: ViewPlan, landlockVersion: number | undefined, trap: Trap): Enforcement[] {
  const required = (feature: string, detail: string): Enforcement => ({ feature, requested: "required", enforced: "yes", detail });
  return [
    required("network", "own network namespace; every route leads to the proxy"),
    capture(trap),
    watch(trap),
    names(trap),
    required("processes", "own pid, ipc and uts namespaces under our init"),
    required("files", `own root with ${plan.steps.length} entries; nothing else of the host exists in it`),
    userEnforcement(spec),
    required("seccomp", "refused calls, socket allow-list, every connect reported"),
    landlock(spec, landlockVersion),
    paths(spec, plan),
    ...plan.guarded.filter(({ target, readOnly }) => readOnly.length > 0 || isMount(spec, target)).map(toolConfiguration),
  ];
}

function capture({ listeners, problems }: Trap): Enforcement {
  const feature = { feature: "direct-connections", requested: "every TCP port" };
  if (listeners.captured.length > 0) return { ...feature, enforced: "yes", detail: "decided by program, as connections to the proxy are" };
  const detail = `80, 443 and the policy's ports are decided by program, others refused without a decision: ${problems.capture ?? "not available"}`;
  return { ...feature, enforced: "the policy's ports", detail };
}

function watch({ watch: sockets, problems }: Trap): Enforcement {
  const feature = { feature: "attempts-seen", requested: "TCP and UDP" };
  if (sockets !== undefined) return { ...feature, enforced: "yes", detail: "attempts past the proxy become events, about 100 a second" };
  return { ...feature, enforced: "no", detail: `attempts past the proxy are refused unseen: ${problems.watch ?? "not available"}` };
}

function names({ resolver, problems }: Trap): Enforcement {
  const feature = { feature: "names-answered", requested: "every name" };
  if (resolver !== undefined) return { ...feature, enforced: "yes", detail: "by synthetic addresses, without a question to anybody" };
  return { ...feature, enforced: "no", detail: `only programs that use the proxy find names: ${problems.resolver ?? "not available"}` };
}

function landlock(spec: BoxSpec, version: number | undefined): Enforcement {
  if (version !== undefined) return { feature: "landlock", requested: spec.landlock, enforced: "yes", detail: `ABI ${version}` };
  const detail =
    "the kernel has no usable Landlock: paths of the view are guarded by file modes and read-only mounts alone, and rules for single binaries are not enforced";
  return { feature: "landlock", requested: spec.landlock, enforced: "no", detail };
}

function paths(spec: BoxSpec, plan: ViewPlan): Enforcement {
  const asked = spec.filesystem.readOnly.length + spec.filesystem.readWrite.length;
  const detail = plan.missing.length === 0 ? "all policy paths exist" : `not on this host, left out: ${plan.missing.join(", ")}`;
  return { feature: "policy-paths", requested: String(asked), enforced: String(asked - plan.missing.length), detail };
}

/** At most so many names of a repository with many submodules. */
const NAMES_SHOWN = 12;

/** A directory of the system that a policy makes writable is no news as long as there is nothing to guard in it. */
function isMount(spec: BoxSpec, target: string): boolean {
  return spec.mounts.some((mount) => mount.target === target);
}

function toolConfiguration({ target, readOnly, open }: GuardedDirectory): Enforcement {
  const feature = { feature: `tool-configuration ${target}`, requested: "read-only" };
  const list = (names: readonly string[]) =>
    names.length > NAMES_SHOWN ? `${names.slice(0, NAMES_SHOWN).join(", ")} and ${names.length - NAMES_SHOWN} more` : names.join(", ");
  const detail = [
    ...(readOnly.length > 0 ? [`read-only: ${list(readOnly)}`] : []),
    ...(open.length > 0 ? [`not there yet or a link, so that the program can make it: ${list(open)}`] : []),
  ];
  return { ...feature, enforced: readOnly.length > 0 ? "what exists" : "nothing exists", detail: detail.join("; ") };
}
