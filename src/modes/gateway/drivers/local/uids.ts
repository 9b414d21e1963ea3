import { readFileSync } from "node:fs";
import { OpenShellError } from "../../../../error.ts";
import type { UidRange } from "../../options.ts";

/** Refuses a range that the host gives to someone: `text` is /etc/subuid (`name:first:count` per line). */
export function checkSubordinate(range: UidRange, text: string): void {
  for (const line of text.split("\n")) {
    const [name, first, count] = line.split(":");
    const start = Number(first);
    const length = Number(count);
    if (!Number.isInteger(start) || !Number.isInteger(length) || length <= 0) continue;
    if (start <= range.last && start + length - 1 >= range.first) {
      throw new OpenShellError(
        "invalid_argument",
        `--uid-range ${range.first}-${range.last} meets the subordinate ids ${start}-${start + length - 1} of ${name} in /etc/subuid`,
        {
          next: "choose another range",
        },
      );
    }
  }
}

export function readSubordinate(): string {
  try {
    return readFileSync("/etc/subuid", "utf8");
  } catch {
    return "";
  }
}

/** The lowest free uid of the range; one sandbox, one uid, so that no two can signal or read each other. */
export function allocateUid(range: UidRange, used: ReadonlySet<number>): number {
  for (let uid = range.first; uid <= range.last; uid++) if (!used.has(uid)) return uid;
  const size = range.last - range.first + 1;
  throw new OpenShellError("resource_exhausted", `all ${size} user ids of ${range.first}-${range.last} are in use`, {
    next: "delete a sandbox, or widen --uid-range",
  });
}
