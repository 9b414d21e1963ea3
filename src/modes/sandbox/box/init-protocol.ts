import type { LandlockRule } from "../../../linux/landlock.ts";
import type { LaunchSpec } from "./contract.ts";
import type { ViewOptions } from "./view-build.ts";
import type { WireError } from "./wire-error.ts";

/** Descriptors that the supervisor gives init beside its own standard input, output and error. */
export const INIT_CONTROL_FD = 3;
/** A pidfd of the supervisor, through which init takes the box's network namespace. */
export const INIT_SUPERVISOR_FD = 4;

/** Supervisor to init. `id` names a launch. */
export type ToInit =
  | { readonly type: "view"; readonly view: ViewOptions }
  /** Number of the namespace's descriptor in the supervisor. */
  | { readonly type: "network"; readonly boxNamespace: number }
  | {
      readonly type: "launch";
      readonly id: number;
      readonly launch: LaunchSpec;
      readonly uid: number;
      readonly gid: number;
      readonly landlock?: { readonly abi: number; readonly rules: readonly LandlockRule[] };
    }
  /** The supervisor has copies of the descriptors of `prepared`. */
  | { readonly type: "taken"; readonly id: number }
  | { readonly type: "signal"; readonly id: number; readonly signal: number }
  /** Wants a TCP socket of the box's network. */
  | { readonly type: "socket"; readonly id: number; readonly family: number }
  /** The supervisor has its copy of the socket. */
  | { readonly type: "socket-taken"; readonly descriptor: number };

/** Descriptor numbers inside init. */
export interface LaunchDescriptors {
  /** Of the program's process. */
  readonly pidfd: number;
  /** Where its connect(2) calls are reported. */
  readonly listener: number;
  readonly stdio?: { readonly stdin: number; readonly stdout: number; readonly stderr: number };
}

/** Init to supervisor. */
export type FromInit =
  | { readonly type: "view-ready" }
  | { readonly type: "network-ready" }
  | { readonly type: "setup-failed"; readonly error: WireError }
  | { readonly type: "prepared"; readonly id: number; readonly descriptors: LaunchDescriptors }
  | { readonly type: "running"; readonly id: number }
  | { readonly type: "launch-failed"; readonly id: number; readonly error: WireError }
  | { readonly type: "socket"; readonly id: number; readonly descriptor: number }
  | { readonly type: "socket-failed"; readonly id: number; readonly error: WireError }
  /** 0..255, or 128 + signal. */
  | { readonly type: "exited"; readonly id: number; readonly code: number };
