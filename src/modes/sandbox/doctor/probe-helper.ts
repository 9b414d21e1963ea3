import { writeSync } from "node:fs";
import { OpenShellError } from "../../../error.ts";
import type { Finding } from "./finding.ts";
import { boxFinding } from "./probes/box.ts";
import { landlockFinding } from "./probes/landlock.ts";
import { mountFindings } from "./probes/mounts.ts";
import { networkFindings } from "./probes/network.ts";
import { seccompFinding, seccompNotifyFinding } from "./probes/seccomp.ts";

/** In this order: each probe changes this process for good, and the later ones take more away. */
const probes: readonly (() => Promise<Finding | readonly Finding[]>)[] = [
  networkFindings,
  boxFinding,
  mountFindings,
  seccompNotifyFinding,
  landlockFinding,
  seccompFinding,
];

/** A process that lives for the probes alone; prints one finding per line. */
export async function main(): Promise<number> {
  try {
    for (const probe of probes) for (const finding of [await probe()].flat()) writeSync(1, `${JSON.stringify(finding)}\n`);
    return 0;
  } catch (reason) {
    process.stderr.write(`Error: ${OpenShellError.from(reason).message}\n`);
    return 1;
  }
}
