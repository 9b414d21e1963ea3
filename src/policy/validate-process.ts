import type { Violation } from "../error.ts";
import { MAX_ID } from "./limits.ts";
import type { ProcessPolicy } from "./model.ts";

/** What useradd(8) accepts; also keeps ':' and line breaks out of a look-up in /etc/passwd. */
const ACCOUNT = /^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/;

/**
 * `sandbox`, or a numeric id that is not root's. Names of the host mean nothing in a sandbox of a gateway.
 * @param accounts names of this host's accounts are accepted too, except root.
 */
export function* validateProcess({ runAsUser, runAsGroup }: ProcessPolicy, accounts = false): Generator<Violation> {
  if (!isIdentity(runAsUser, accounts)) yield { field: "process.run_as_user", message: expected(runAsUser, accounts) };
  if (!isIdentity(runAsGroup, accounts)) yield { field: "process.run_as_group", message: expected(runAsGroup, accounts) };
}

/** The name of an account: neither empty, nor `sandbox`, nor a number. */
export function isAccountName(value: string): boolean {
  return value !== "sandbox" && ACCOUNT.test(value);
}

function isIdentity(value: string, accounts: boolean): boolean {
  if (value === "" || value === "sandbox") return true;
  if (accounts && value !== "root" && isAccountName(value)) return true;
  return /^[1-9][0-9]{0,9}$/.test(value) && Number(value) <= MAX_ID;
}

function expected(value: string, accounts: boolean): string {
  const names = accounts ? '"sandbox", an account other than root,' : '"sandbox"';
  return `expected ${names} or a number from 1 to ${MAX_ID}, got ${JSON.stringify(value.slice(0, 80))}`;
}
