import type { Policy } from "./policy/model.ts";
import type { UpstreamProxySettings } from "./upstream-proxy/settings.ts";

/**
 * How a compute driver tells a supervisor what to run: `openshell sandbox run --spec FILE`. Written by the gateway's driver, read once by
 * the supervisor; data, so that nothing of a user's environment becomes the environment of one of our processes.
 */
export interface SupervisorSpec {
  readonly version: 1;
  readonly sandboxId: string;
  readonly sandboxName: string;
  readonly workspace: string;
  /** Distinguishes this start of the supervisor from earlier ones. */
  readonly instanceId: string;
  readonly gateway: {
    /** `https://127.0.0.1:17670` */
    readonly endpoint: string;
    readonly caFile: string;
    /** Holds the supervisor's token; rewritten by the driver on adoption, re-read on UNAUTHENTICATED. */
    readonly tokenFile: string;
    /** Holds where the gateway is now; rewritten by the driver on adoption, read for each connection. Absent: `endpoint` for good. */
    readonly endpointFile?: string;
  };
  /** The sandbox's own directory under the state directory: workspace, upper, run, tls, log. */
  readonly directory: string;
  /** The main process; empty: none, the sandbox stays ready until it is stopped. */
  readonly command: readonly string[];
  /** Give the main process a terminal. */
  readonly tty?: boolean;
  readonly environment: Readonly<Record<string, string>>;
  readonly uid: number;
  readonly gid: number;
  readonly mounts: readonly { readonly source: string; readonly target: string; readonly readWrite: boolean }[];
  readonly trustedCidrs: readonly string[];
  readonly internalDomains: readonly string[];
  /** PEM file of authorities that servers may be certified by, beside the system's. */
  readonly upstreamCa?: string;
  /** What connections leave by; absent: they are made directly. */
  readonly upstreamProxy?: UpstreamProxySettings;
  /** Keep the supervisor after the main process has ended, for exec and drafts. */
  readonly keep: boolean;
  /** Somebody made the sandbox for its main process and comes to look: its output waits for them, and they feed it. Absent: no. */
  readonly attended?: boolean;
  /** Absent: the programs have what the machine has. */
  readonly limits?: ProgramLimits;
  /** What of the policy a box is made from, as it was when this was written; what the gateway then answers holds. Absent: it has no policy yet. */
  readonly expected?: StaticSections;
}

/** What of a policy cannot change while a sandbox runs, without who its programs run as. */
export type StaticSections = Pick<Policy, "filesystem" | "landlock">;

/** What the kernel holds the programs of a box to, and not their supervisor. */
export interface ProgramLimits {
  /** Control groups, one directory for each hierarchy with a limit: every program is moved there before it begins. */
  readonly groups: readonly string[];
  /** Files in memory are counted in it, so they may take a part only. */
  readonly memoryBytes?: number;
}

/** `supervisor.json` in the sandbox's directory: which process runs it. */
export interface SupervisorRecord {
  readonly pid: number;
  /** Clock ticks since boot (field 22 of /proc/PID/stat); pid and start time together name a process. */
  readonly startTime: number;
  readonly bootId: string;
  readonly instanceId: string;
}

/** `exit.json` in the sandbox's directory: how the supervisor ended. */
export interface SupervisorExit {
  readonly instanceId: string;
  readonly exitCode: number;
  readonly reason: string;
  /** It was told to end by this signal, `SIGTERM` say; by its gateway, or by a machine that is shut down. */
  readonly signal?: string;
}

/**
 * Stands in a supervisor's log before anything that the main process writes: from here on no line is the supervisor's word, whatever it
 * looks like.
 */
export const MAIN_OUTPUT_MARK = "--- what follows is output of the main process too ---\n";

/**
 * A supervisor's log is put aside when it is larger, and the one that was put aside before goes: two files, so that the last hour of a sandbox
 * that fails again and again can be read and a disk is never filled. With what a main process may add before anybody looks, some 64 MiB. Bytes.
 */
export const SUPERVISOR_LOG_BYTES = 16 * 1024 * 1024;
