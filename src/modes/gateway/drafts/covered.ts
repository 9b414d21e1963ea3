import { coveredBy } from "../../../policy/merge.ts";
import type { Policy } from "../../../policy/model.ts";
import { requestsCovered } from "../../../policy/request-coverage.ts";
import type { Chunk } from "./chunk.ts";

/** Whether a policy allows already what a chunk would. Conservative: false when in doubt. */
export function isCovered(policy: Policy, { rule }: Pick<Chunk, "rule">, ancestors: readonly string[]): boolean {
  return coveredBy(policy, rule) || requestsCovered(policy, rule, ancestors);
}
