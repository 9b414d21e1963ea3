import type { SandboxRecord } from "../store/sandboxes.ts";

/** Reason of a supervisor that ended because it was told to by a signal that was not its gateway's: the machine is being shut down. */
export const STOPPED_BY_SIGNAL = "StoppedBySignal";

/** How a supervisor ended, as far as its driver knows. */
export interface SupervisorEnd {
  readonly sandboxId: string;
  readonly instanceId: string;
  readonly reason: string;
  readonly message: string;
}

/** Something a person should know about a sandbox that goes on. */
export interface SandboxNotice {
  readonly sandboxId: string;
  readonly reason: string;
  readonly message: string;
}

/** What a gateway start finds of a sandbox that ran before. */
export type Found = "running" | "crashed" | "told-to-end" | "rebooted" | "absent";

export interface StartOptions {
  /** Whoever asked comes to look at the main process: its output waits for them. */
  readonly attended?: boolean;
}

/** Owns the runtime object of a sandbox; the gateway owns what is wanted of it. */
export interface ComputeDriver {
  readonly name: string;
  /** Refuses what this driver cannot give a sandbox, before anything is stored. */
  admit(record: Pick<SandboxRecord, "spec">): void;
  /** Makes what the sandbox needs and starts its supervisor as `record.instanceId`; returns once the process runs. */
  start(record: SandboxRecord, options?: StartOptions): Promise<void>;
  /** Asks the supervisor to end, then ends it; returns when the process is gone. */
  stop(sandboxId: string): Promise<void>;
  /** Stops and removes every file of the sandbox. */
  remove(sandboxId: string): Promise<void>;
  /** Takes over a supervisor of an earlier gateway, with a fresh token, or says what became of it. */
  adopt(record: SandboxRecord): Promise<Found>;
  /** Tells of every supervisor that ends without `stop`. Set once, before the first start. */
  onEnd(listener: (end: SupervisorEnd) => void): void;
  /** Tells when the kernel held a sandbox to its limits. Set once, before the first start. */
  onNotice(listener: (notice: SandboxNotice) => void): void;
  /** Removes what no sandbox of the store owns; asked anew for each, since sandboxes may be created meanwhile. */
  sweep(isKnown: (sandboxId: string) => boolean): Promise<void>;
  /** Stops watching; supervisors go on. */
  close(): void;
}
