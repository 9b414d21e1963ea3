import type { Violation } from "../error.ts";
import { MAX_ID } from "./limits.ts";
import type { ProcessPolicy } from "./model.ts";

/** `sandbox`, or a numeric id that is not root's. Names of the host mean nothing in a sandbox. */
export function* validateProcess({ runAsUser, runAsGroup }: ProcessPolicy): Generator<Violation> {
  if (!isIdentity(runAsUser)) yield { field: "process.run_as_user", message: expected(runAsUser) };
  if (!isIdentity(runAsGroup)) yield { field: "process.run_as_group", message: expected(runAsGroup) };
}

function isIdentity(value: string): boolean {
  if (value === "" || value === "sandbox") return true;
  return /^[1-9][0-9]{0,9}$/.test(value) && Number(value) <= MAX_ID;
}

const expected = (value: string) => `expected "sandbox" or a number from 1 to ${MAX_ID}, got ${JSON.stringify(value.slice(0, 80))}`;
