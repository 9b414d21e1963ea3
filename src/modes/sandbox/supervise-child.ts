import { constants } from "node:os";
import type { Box, Child } from "./box/contract.ts";

/** What coreutils' timeout reports. */
const TIMEOUT_EXIT_CODE = 124;

/** The box ended under the program: killed with everything in it. */
const KILLED_EXIT_CODE = 128 + constants.signals.SIGKILL;

/** Between asking and killing when the time is up. Milliseconds. */
const TIMEOUT_GRACE = 100;

/** Waits for a program and keeps its time (seconds; 0 = none). 0..255, 128 + signal, or 124 when the time was up. */
export async function superviseChild(child: Child, box: Box, timeout = 0): Promise<number> {
  const timers: ReturnType<typeof setTimeout>[] = [];
  let expired = false;
  if (timeout > 0) {
    const expire = () => {
      expired = true;
      child.signal(constants.signals.SIGTERM);
      timers.push(setTimeout(() => child.signal(constants.signals.SIGKILL), TIMEOUT_GRACE));
    };
    timers.push(setTimeout(expire, timeout * 1000));
  }
  try {
    const code = await Promise.race([child.exited, box.ended.then(() => KILLED_EXIT_CODE)]);
    return expired ? TIMEOUT_EXIT_CODE : code;
  } finally {
    for (const timer of timers) clearTimeout(timer);
  }
}
