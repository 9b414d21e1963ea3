import type { LandlockRule } from "../../../linux/landlock.ts";
import type { WireError } from "./wire-error.ts";

/** Descriptors that init gives the shim beside standard input, output and error, which it gets with its order. */
export const SHIM_STATUS_FD = 3;
/** A pidfd of init, through which the shim takes what its order names. */
export const SHIM_INIT_FD = 4;

/** What the shim is to start: the first line on its status socket. */
export interface ShimOrder {
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly workdir: string;
  readonly uid: number;
  readonly gid: number;
  /** Standard input is a terminal that becomes the controlling one. */
  readonly terminal: boolean;
  /** Numbers in init: standard streams of the program, and the two namespaces to enter. Init keeps them until the shim answers. */
  readonly descriptors: { readonly stdio: readonly [number, number, number]; readonly view: number; readonly network: number };
  /** Absent when the kernel has no usable Landlock and the policy accepts that. */
  readonly landlock?: { readonly abi: number; readonly rules: readonly LandlockRule[] };
}

/** What the shim answers, one line each. After `listener` it waits for a line; end of file without an error then means that the program runs. */
export type ShimAnswer = { readonly listener: number } | { readonly error: WireError };
