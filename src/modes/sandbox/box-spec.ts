import { join } from "node:path";
import type { StaticSections, SupervisorSpec } from "../../supervisor-spec.ts";
import type { BoxSpec } from "./box/contract.ts";

/** What a box needs from a policy's static sections. Absent compatibility means `hard_requirement`: nothing falls open. */
export function boxSpec(policy: StaticSections, place: Omit<BoxSpec, "filesystem" | "landlock">): BoxSpec {
  const { sandboxName, uid, gid, workspace, runDirectory, tlsDirectory, mounts, refuseLinks, limits } = place;
  return {
    sandboxName,
    uid,
    gid,
    workspace,
    runDirectory,
    ...(tlsDirectory === undefined ? {} : { tlsDirectory }),
    mounts,
    ...(refuseLinks === undefined ? {} : { refuseLinks }),
    ...(limits === undefined ? {} : { limits }),
    filesystem: policy.filesystem ?? { includeWorkdir: true, readOnly: BASELINE_READ_ONLY, readWrite: BASELINE_READ_WRITE },
    landlock: policy.landlock?.compatibility ?? "hard_requirement",
  };
}

/** The box of a gateway's sandbox, whose directory has everything of it. */
export function gatewayBoxSpec(policy: StaticSections, spec: SupervisorSpec): BoxSpec {
  const { sandboxName, uid, gid, directory, mounts, limits } = spec;
  const [workspace, runDirectory, tlsDirectory] = [join(directory, "workspace"), join(directory, "run"), join(directory, "tls")];
  const place = { sandboxName, uid, gid, workspace, runDirectory, tlsDirectory, mounts, refuseLinks: true };
  return boxSpec(policy, { ...place, ...(limits === undefined ? {} : { limits }) });
}

/** A policy without a file system section still boots: programs to run, and a place to write. */
const BASELINE_READ_ONLY = ["/usr", "/lib", "/etc", "/proc", "/dev/urandom"];
const BASELINE_READ_WRITE = ["/tmp", "/dev/null"];
