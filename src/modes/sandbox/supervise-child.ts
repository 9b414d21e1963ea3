import { constants } from "node:os";
import type { Box, Child } from "./box/contract.ts";

/** What coreutils' timeout reports. */
const TIMEOUT_EXIT_CODE = 124;

/** The box ended under the program: killed with everything in it. */
const KILLED_EXIT_CODE = 128 + constants.signals.SIGKILL;

/** Between asking and killing when the time is up, and when the supervisor itself is told to end. Milliseconds. */
const TIMEOUT_GRACE = 100;
const STOP_GRACE = 5000;

export interface Supervision {
  /** Seconds; 0 = none. */
  readonly timeout: number;
  /** Signals of the supervisor that the program gets too. */
  readonly forward: readonly number[];
}

/** Waits for a program; forwards signals, keeps its time. 0..255, 128 + signal, or 124. */
export async function superviseChild(child: Child, box: Box, { timeout, forward }: Supervision): Promise<number> {
  const timers: ReturnType<typeof setTimeout>[] = [];
  let expired = false;
  const kill = (grace: number) => timers.push(setTimeout(() => child.signal(constants.signals.SIGKILL), grace));
  if (timeout > 0) {
    timers.push(
      setTimeout(() => {
        expired = true;
        child.signal(constants.signals.SIGTERM);
        kill(TIMEOUT_GRACE);
      }, timeout * 1000),
    );
  }
  const names = Object.entries(constants.signals).filter(([, number]) => forward.includes(number));
  const handlers = names.map(([name, number]) => {
    const handler = () => {
      child.signal(number);
      if (number === constants.signals.SIGTERM) kill(STOP_GRACE);
    };
    process.on(name as NodeJS.Signals, handler);
    return { name: name as NodeJS.Signals, handler };
  });
  try {
    const code = await Promise.race([child.exited, box.ended.then(() => KILLED_EXIT_CODE)]);
    return expired ? TIMEOUT_EXIT_CODE : code;
  } finally {
    for (const timer of timers) clearTimeout(timer);
    for (const { name, handler } of handlers) process.off(name, handler);
  }
}
