import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { OpenShellError } from "../../../error.ts";
import { hasCapability } from "../../../linux/capabilities.ts";
import { LANDLOCK_MINIMUM_ABI, landlockAbi } from "../../../linux/landlock.ts";
import type { Box, BoxSpec } from "./contract.ts";
import { describeEnforcement } from "./enforcement.ts";
import { Ground } from "./ground.ts";
import { connectLoopback } from "./loopback.ts";
import { mapMountOwners } from "./mount-owners.ts";
import { planView, type ViewPlan } from "./view-plan.ts";

/**
 * Opens a box on its ground, which it takes over: network namespaces, pid namespace with our init, root view, connection records. Programs start
 * with `launch`. Disposing it ends every process of it and leaves nothing behind. Throws an OpenShellError with the remedy when the kernel or the
 * policy does not permit the protection asked for.
 */
export async function openBox(spec: BoxSpec, ground: Ground = new Ground(spec.limits?.groups)): Promise<Box> {
  await using resources = new AsyncDisposableStack();
  resources.use(ground);
  if (!hasCapability("sys_admin"))
    throw new OpenShellError("permission_denied", "a sandbox takes CAP_SYS_ADMIN to build, its own user namespace's or the machine's", {
      next: "start it with `openshell sandbox run`, which makes a user namespace where it is needed",
    });
  const plan = planView(spec);
  const abi = requireProtection(spec, plan);
  const mountPoint = join(spec.runDirectory, "root");
  mkdirSync(mountPoint, { recursive: true, mode: 0o700 });

  const { recorder } = ground;
  const { init, trap } = await ground.ready();
  recorder.start(init.pid);
  // Without the recorder every connect(2) would wait for ever: the box ends instead.
  recorder.failed.catch(() => init.stop());
  using owners = await mapMountOwners(spec);
  const view = {
    plan,
    mountPoint,
    uid: spec.uid,
    gid: spec.gid,
    hostName: spec.sandboxName,
    owners: owners.mappings,
    memory: spec.limits?.memoryBytes,
  };
  await Promise.all([init.buildView(view), init.giveNetwork(trap.boxNamespace)]);

  const landlock = abi === undefined ? {} : { landlock: { abi, rules: plan.landlock } };
  const confinement = { uid: spec.uid, gid: spec.gid, ...landlock };
  const owned = resources.move();
  return {
    listeners: trap.listeners,
    ...(trap.listenOn && { listenOn: trap.listenOn }),
    ...(trap.watch && { watch: trap.watch }),
    ...(trap.resolver && { resolver: trap.resolver }),
    identify: (peer, local) => recorder.identify(trap.diagnostics, peer, local),
    launch: (launch) => init.launch(launch, confinement),
    connectLoopback: (address) => connectLoopback(init, address),
    enforcement: [...describeEnforcement(spec, plan, abi, trap), ...owners.enforcement],
    ended: init.ended,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The Landlock version to use; undefined when there is none and the policy accepts that. */
function requireProtection(spec: BoxSpec, plan: ViewPlan): number | undefined {
  const strict = spec.landlock === "hard_requirement";
  if (strict && plan.missing.length > 0) {
    throw new OpenShellError("failed_precondition", `policy paths do not exist on this host: ${plan.missing.join(", ")}`, {
      next: "create them, take them out of filesystem_policy, or set landlock.compatibility to best_effort",
    });
  }
  const abi = landlockAbi();
  if (abi >= LANDLOCK_MINIMUM_ABI) return abi;
  if (strict) {
    throw new OpenShellError(
      "failed_precondition",
      `the kernel has no Landlock of version ${LANDLOCK_MINIMUM_ABI} or newer (found ${abi})`,
      {
        next: "use a kernel of 5.19 or newer with lsm=landlock, or set landlock.compatibility to best_effort",
      },
    );
  }
  return undefined;
}
