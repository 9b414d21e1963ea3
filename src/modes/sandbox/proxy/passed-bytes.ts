import { fullGC } from "bun:jsc";
import { isMemoryShort } from "./held-bytes.ts";

/**
 * Bytes that may pass through this process between two whole collections of garbage. What is new is collected by itself, but of that the bytes that
 * are just under way count as old from then on, and what is old is looked at only once the heap is four times as large (80 MB). In this many
 * bytes less than 5 MB of it come together. A collection takes about 4 ms, the bytes 150 ms at best.
 */
const COLLECT_AFTER_BYTES = 64 * 1024 * 1024;
/** The same while memory is short. */
const COLLECT_SOON_BYTES = 16 * 1024 * 1024;

let passed = 0;
let due = false;

/** Counts bytes that are read here and written elsewhere, so that the memory they have used is free again soon. */
export function countPassed(bytes: number): void {
  passed += bytes;
  if (due || passed < (isMemoryShort() ? COLLECT_SOON_BYTES : COLLECT_AFTER_BYTES)) return;
  due = true;
  // Behind what is being passed on now.
  setImmediate(() => {
    passed = 0;
    due = false;
    fullGC();
  });
}
