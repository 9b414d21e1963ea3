import { fstatSync } from "node:fs";
import { OpenShellError } from "../../../error.ts";
import { AT_FDCWD, close, O_PATH, openAt } from "../../../linux/descriptors.ts";
import { cloneTree } from "../../../linux/mounts.ts";
import { applyOwnerMapping, openOwnerMapping } from "../../../linux/owner-mapping.ts";
import { ordinaryUser } from "../rootless/identity.ts";
import type { BoxSpec, Enforcement } from "./contract.ts";

/** How the writable mounts of a box get the agent as their owner, without a change on the host. */
export interface MountOwners extends Disposable {
  /** Descriptors of mappings in this process, by source of the mount. */
  readonly mappings: Readonly<Record<string, number>>;
  readonly enforcement: readonly Enforcement[];
}

/**
 * A directory of a person, mounted read-write: in the box it belongs to the agent, and what the agent makes there belongs to the person.
 * Where the file system cannot do that the mount keeps its owner, and the enforcement says why the agent may not write.
 */
export async function mapMountOwners(spec: BoxSpec): Promise<MountOwners> {
  const mappings: Record<string, number> = {};
  const enforcement: Enforcement[] = [];
  for (const { source, target } of spec.mounts.filter((mount) => mount.readWrite)) {
    const place = openAt(AT_FDCWD, source, O_PATH);
    try {
      const { uid, gid } = fstatSync(place);
      // Without root the agent is the person, and nobody may map the owners of a file system.
      if (uid === spec.uid || ordinaryUser() !== undefined) continue;
      const mapping = await openOwnerMapping({ from: { uid, gid }, to: { uid: spec.uid, gid: spec.gid } });
      try {
        const tree = cloneTree(place, source);
        try {
          applyOwnerMapping(tree, mapping);
        } finally {
          close(tree);
        }
        mappings[source] = mapping;
        enforcement.push(row(target, "yes", `files of uid ${uid} belong to the agent in the sandbox, and to uid ${uid} outside`));
      } catch (reason) {
        close(mapping);
        const why = `the files stay those of uid ${uid}, whose modes decide what the agent may write: ${OpenShellError.from(reason).message}`;
        enforcement.push(row(target, "no", why));
      }
    } finally {
      close(place);
    }
  }
  return {
    mappings,
    enforcement,
    [Symbol.dispose]() {
      for (const mapping of Object.values(mappings)) close(mapping);
    },
  };
}

function row(target: string, enforced: string, detail: string): Enforcement {
  return { feature: `mount ${target}`, requested: "writable for the agent", enforced, detail };
}
