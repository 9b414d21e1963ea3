import { readdirSync, readFileSync } from "node:fs";
import { reap } from "../../linux/process-state.ts";

/** A child of ours is collected by the runtime within milliseconds of its end; whoever is still there at the second look is nobody's. */
const LOOK_INTERVAL_MS = 1000;

/**
 * Collects the orphans that the kernel gives to PID 1 of a container: what was started in it from outside and left something running.
 * Programs of the box have their own init. Does nothing when we are not PID 1.
 */
export function collectOrphans(): Disposable {
  if (process.pid !== 1) return { [Symbol.dispose]: () => {} };
  let before: ReadonlySet<number> = new Set();
  const look = () => {
    const dead = new Set(zombies());
    for (const pid of dead) if (before.has(pid)) reap(pid);
    before = dead;
  };
  const timer = setInterval(look, LOOK_INTERVAL_MS);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function zombies(): number[] {
  try {
    return readdirSync("/proc/self/task")
      .flatMap((task) => readFileSync(`/proc/self/task/${task}/children`, "latin1").split(" ").filter(Boolean).map(Number))
      .filter(isZombie);
  } catch {
    return []; // without /proc there is nothing to see
  }
}

function isZombie(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name is in brackets and may hold anything; the state follows the last one (proc(5)).
    return stat[stat.lastIndexOf(")") + 2] === "Z";
  } catch {
    return false;
  }
}
