import type { BoxSpec, Enforcement } from "./contract.ts";
import type { ViewPlan } from "./view-plan.ts";

/** What was asked of the kernel and what is in force, for people: `sandbox get`, the log, `doctor`. */
export function describeEnforcement(spec: BoxSpec, plan: ViewPlan, landlockVersion: number | undefined): Enforcement[] {
  const required = (feature: string, detail: string): Enforcement => ({ feature, requested: "required", enforced: "yes", detail });
  return [
    required("network", "own network namespace; every route leads to the proxy"),
    required("processes", "own pid, ipc and uts namespaces under our init"),
    required("files", `own root with ${plan.steps.length} entries; nothing else of the host exists in it`),
    required("user", `uid ${spec.uid}, gid ${spec.gid}, no capabilities, no new privileges`),
    required("seccomp", "refused calls, socket allow-list, every connect reported"),
    landlock(spec, landlockVersion),
    paths(spec, plan),
  ];
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
