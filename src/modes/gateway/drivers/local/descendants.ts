import { readdirSync } from "node:fs";
import { readText } from "./hierarchies.ts";

export interface Descendant {
  readonly pid: number;
  /** It is in the pid namespace of its ancestor, or begins another: no program of the box. */
  readonly isHelper: boolean;
}

/** Everything that a process and its threads have started, and what that has started. */
export function descendantsOf(ancestor: number): Descendant[] {
  const depth = namespacePids(ancestor).length;
  const found: Descendant[] = [];
  const waiting = [ancestor];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    for (const pid of childrenOf(at)) {
      const pids = namespacePids(pid);
      found.push({ pid, isHelper: pids.length === depth || pids.at(-1) === "1" });
      waiting.push(pid);
    }
  }
  return found;
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readText(`/proc/${pid}/task/${thread}/children`).split(" ").filter(Boolean).map(Number),
    );
  } catch {
    return []; // It has ended.
  }
}

/** Its pids in every pid namespace that it is in, ours first. */
function namespacePids(pid: number): string[] {
  const line = /^NSpid:\t(.*)$/m.exec(readText(`/proc/${pid}/status`))?.[1];
  return line?.split("\t") ?? [];
}
