import type { ResourceLimits } from "../../sandboxes/resources.ts";
import type { Refusals, SandboxGroup } from "./cgroups.ts";

/** Tells once of everything that the kernel refused a sandbox because of its limits. */
export class LimitWatch {
  readonly #group: Pick<SandboxGroup, "refusals">;
  readonly #limits: ResourceLimits;
  #known: Refusals;

  constructor(group: Pick<SandboxGroup, "refusals">, limits: ResourceLimits) {
    this.#group = group;
    this.#limits = limits;
    this.#known = group.refusals();
  }

  /** What happened since the last call, in sentences. */
  news(): string[] {
    const now = this.#group.refusals();
    const { killed, peak, notStarted } = now;
    const before = this.#known;
    this.#known = now;
    const { memoryBytes = 0, pids } = this.#limits;
    const said: string[] = [];
    if (killed > before.killed) {
      // Kernels before 5.19 do not say in version 2 how much it was: then it was all there is.
      const used = mebibytes(peak === 0 ? memoryBytes : peak);
      const what = count(killed - before.killed, "program", "programs");
      said.push(
        `The kernel killed ${what} in the sandbox: ${used} MiB of memory were in use, the limit is ${mebibytes(memoryBytes)} MiB (--memory)`,
      );
    }
    // Programs try again, thousands of times: one sentence until the gateway starts anew.
    if (notStarted > 0 && before.notStarted === 0)
      said.push(`The limit of ${pids} processes and threads was reached (--pids); no more were started`);
    return said;
  }
}

/** A watch for a sandbox that has limits whose refusals the kernel counts. */
export function watchLimits(group: SandboxGroup, limits: ResourceLimits): { readonly limits?: LimitWatch } {
  return limits.memoryBytes === undefined && limits.pids === undefined ? {} : { limits: new LimitWatch(group, limits) };
}

function count(number: number, one: string, many: string): string {
  return number === 1 ? `a ${one}` : `${number} ${many}`;
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}
