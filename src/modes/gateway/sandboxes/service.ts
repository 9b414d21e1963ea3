import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { OpenShellError } from "../../../error.ts";
import type { WorkspaceSelector } from "../../../rpc/gen/openshell/datamodel/v1/datamodel_pb.ts";
import {
  ConfigurationAdmissionState,
  PlatformEventSchema,
  type SandboxConfigurationAdmission,
  SandboxConfigurationAdmissionSchema,
  SandboxPhase,
  SandboxRestartPolicy,
  type SandboxStatus,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { storageError } from "../../../storage-error.ts";
import type { Bus } from "../bus.ts";
import { type ComputeDriver, STOPPED_BY_SIGNAL, type StartOptions, type SupervisorEnd } from "../drivers/driver.ts";
import type { Log } from "../log.ts";
import type { LogService } from "../logs/service.ts";
import type { SettingsService } from "../settings/service.ts";
import type { Store } from "../store/database.ts";
import type { Reserve } from "../store/reserve.ts";
import { type SandboxChange, type SandboxRecord, type SandboxRepository, withStatus } from "../store/sandboxes.ts";
import { type LifeEvent, readyReason, transition, withMainProcess } from "./lifecycle.ts";
import { MadeByGone, withPaths } from "./made-configuration.ts";
import { oneWorkspace } from "./workspace.ts";

const { ACCEPTED, REJECTED } = ConfigurationAdmissionState;

export interface SandboxDependencies {
  readonly store: Store;
  readonly repository: SandboxRepository;
  readonly driver: ComputeDriver;
  readonly bus: Bus;
  readonly logs: LogService;
  readonly settings: SettingsService;
  readonly clock: { now(): number };
  readonly log: Log;
  readonly trustedCidrs: readonly string[];
  readonly reserve: Reserve;
  /** Whether the supervisor of a sandbox is connected. */
  readonly hasSession: (sandboxId: string) => boolean;
  /** Ends the session of a sandbox that is being stopped or deleted. */
  readonly endSession: (sandboxId: string) => void;
  /** The instance of a sandbox has ended for good: what was meant for its session ends too. */
  readonly instanceOver?: (sandboxId: string) => void;
  /** Forgets what other services keep about a sandbox; runs in the transaction that removes its record. */
  readonly forget: (sandboxId: string) => void;
}

/** A sandbox as the draft service wants to know it. */
export interface FoundSandbox {
  readonly id: string;
  readonly name: string;
  readonly trustedCidrs: readonly string[];
  readonly record: SandboxRecord;
}

/** The life of sandboxes: every change of a phase goes through here, is stored and told to the watchers. */
export class SandboxService {
  readonly #on: SandboxDependencies;
  /** Deletions under way, so that a second one waits for the first. */
  readonly #deleting = new Map<string, Promise<readonly string[]>>();

  readonly #restarts = new Set<ReturnType<typeof setTimeout>>();

  readonly #gone = new MadeByGone();

  constructor(dependencies: SandboxDependencies) {
    this.#on = dependencies;
    dependencies.driver.onEnd((end) => this.#supervisorEnded(end));
    dependencies.driver.onNotice(({ sandboxId, reason, message }) => this.#tell(sandboxId, "Warning", reason, message));
  }

  get(id: string): SandboxRecord | undefined {
    return this.#on.repository.get(id);
  }

  /** The sandbox that a request names; `invalid_argument` without a scope or name, `not_found` when there is none. */
  find(scope: WorkspaceSelector | undefined, name: string): FoundSandbox {
    const workspace = oneWorkspace(scope);
    if (name === "")
      throw new OpenShellError("invalid_argument", "name is required", { violations: [{ field: "name", message: "is required" }] });
    const record = this.#on.repository.byName(workspace, name);
    if (record === undefined) throw new OpenShellError("not_found", "sandbox not found", { next: "openshell sandbox list" });
    return { id: record.id, name: record.name, trustedCidrs: [...this.#on.trustedCidrs, ...record.spec.trustedCidrs], record };
  }

  /** Moves a sandbox along its life; returns the record as it is then. */
  apply(id: string, event: LifeEvent, change: SandboxChange = {}): SandboxRecord | undefined {
    const now = this.#on.clock.now();
    return this.#change(id, (record) => {
      const status = transition(change.status ?? record.status, event, now);
      return { ...change, status: withMainProcess(status, event, record.spec.command.length > 0, now) };
    });
  }

  /** Replaces parts of the status without an event of its life. */
  patchStatus(id: string, change: Parameters<typeof withStatus>[1]): SandboxRecord | undefined {
    return this.#change(id, (record) => ({ status: withStatus(record.status, change) }));
  }

  /** Configuration of a person's tools that programs of the sandbox made: kept until it is deleted, whatever becomes of the files. */
  madeConfiguration(id: string, paths: readonly string[]): void {
    const record = this.get(id);
    if (record === undefined) return;
    this.patchStatus(id, { madeConfiguration: withPaths(record.status.madeConfiguration, paths) });
  }

  /** The same of a sandbox that was not kept and has gone by itself; told once. */
  madeBeforeItWent(scope: WorkspaceSelector | undefined, name: string): readonly string[] {
    return scope?.selection.case === "workspace" ? this.#gone.take(`${scope.selection.value}/${name}`) : [];
  }

  patch(id: string, change: SandboxChange): SandboxRecord | undefined {
    return this.#change(id, () => change);
  }

  /**
   * What the supervisor of the running instance says about its configuration. A refusal after an acceptance changes nothing but the
   * error shown: the supervisor goes on with what it had.
   */
  admission(id: string, admission: SandboxConfigurationAdmission): void {
    const record = this.get(id);
    if (record === undefined) return;
    const before = record.status.configurationAdmission;
    const kept = admission.state !== ACCEPTED && before?.state === ACCEPTED && before.instanceId === admission.instanceId;
    const configurationAdmission = kept ? create(SandboxConfigurationAdmissionSchema, { ...before, error: admission.error }) : admission;
    const status = withStatus(record.status, { configurationAdmission });
    if (admission.state === ACCEPTED) this.apply(id, { kind: "admitted" }, { status });
    else if (admission.state === REJECTED && !kept) this.apply(id, { kind: "rejected", error: admission.error }, { status });
    else this.patch(id, { status });
  }

  /** Starts the supervisor of a record that the store has already; a failure becomes its phase and reason. */
  async launch(record: SandboxRecord, options: StartOptions = {}): Promise<void> {
    try {
      await this.#on.driver.start(record, options);
    } catch (error) {
      const failure = storageError(error) ?? OpenShellError.from(error);
      this.#on.log("error", `sandbox ${record.name} (${record.id}) did not start`, error);
      this.apply(record.id, {
        kind: "failed",
        reason: "StartFailed",
        message: failure.code === "internal" ? "the supervisor could not be started; the gateway's log has the details" : failure.message,
      });
    }
  }

  /** Starts a stopped or ended sandbox again, as a new instance; of several calls at once one does. */
  async restart(record: SandboxRecord, message?: string): Promise<SandboxRecord> {
    await this.#on.driver.stop(record.id);
    const now = this.get(record.id);
    if (now === undefined) throw new OpenShellError("not_found", "sandbox not found");
    // Somebody else has started, stopped or deleted it while we waited: what they wanted holds.
    if (now.instanceId !== record.instanceId || now.desired !== record.desired) return now;
    this.#on.instanceOver?.(record.id);
    const instanceId = randomUUID();
    const status = withStatus(now.status, { mainProcessInstanceId: instanceId });
    const started = this.apply(
      record.id,
      { kind: "starting", ...(message === undefined ? {} : { message }) },
      { status, instanceId, desired: "running" },
    );
    if (started === undefined) throw new OpenShellError("not_found", "sandbox not found");
    void this.launch(started);
    return started;
  }

  async stop(record: SandboxRecord): Promise<SandboxRecord> {
    this.apply(record.id, { kind: "stopping" }, { desired: "stopped" });
    this.#on.endSession(record.id);
    await this.#on.driver.stop(record.id);
    this.#on.instanceOver?.(record.id);
    const stopped = this.apply(record.id, { kind: "stopped" });
    if (stopped === undefined) throw new OpenShellError("not_found", "sandbox not found");
    return stopped;
  }

  /**
   * Ends the supervisor and removes everything of the sandbox; `marked` runs in the transaction after which it cannot stay. Returns the tool
   * configuration that programs made, which stays.
   */
  async delete(record: SandboxRecord, marked: () => void = () => {}): Promise<readonly string[]> {
    const mark = () =>
      this.#on.store.transaction(() => {
        this.apply(record.id, { kind: "deleting" }, { desired: "deleted" });
        marked();
      });
    try {
      mark();
    } catch (error) {
      if (storageError(error)?.code !== "resource_exhausted") throw error;
      this.#on.reserve.release();
      mark();
    }
    const running = this.#deleting.get(record.id);
    if (running !== undefined) return running;
    const deletion = this.#delete(record).finally(() => {
      this.#deleting.delete(record.id);
      this.#on.reserve.keep();
    });
    this.#deleting.set(record.id, deletion);
    return deletion;
  }

  async #delete({ id }: SandboxRecord): Promise<readonly string[]> {
    this.#on.endSession(id);
    await this.#on.driver.remove(id);
    const made = this.get(id)?.status.madeConfiguration ?? [];
    // A file of its own, so first: killed in between, the next start finds the sandbox and deletes it again.
    this.#on.logs.deleteSandbox(id);
    this.#on.store.transaction(() => {
      this.#on.settings.deleteSandbox(id);
      this.#on.repository.delete(id);
      this.#on.forget(id);
    });
    this.#on.bus.end(id);
    return made;
  }

  /**
   * After a start of the gateway: takes over what runs, starts again what a reboot ended, and says of the rest why it ended
   * (decision 10).
   */
  async recover(): Promise<void> {
    const { driver, repository } = this.#on;
    // Those of before, without what is created from now on.
    const ids = repository.all().map(({ id }) => id);
    await driver.sweep((id) => repository.get(id) !== undefined);
    for (const id of ids) {
      // The gateway answers already: it may have been stopped or deleted since the list was made.
      const record = repository.get(id);
      if (record === undefined) continue;
      try {
        if (record.desired === "deleted") await this.delete(record);
        else if (record.desired === "stopped") await this.stop(record);
        else await this.#recoverRunning(record);
      } catch (error) {
        // Without its store no gateway starts; for one sandbox whose files cannot be read or removed the others need not wait.
        if (storageError(error) !== undefined) throw error;
        this.#on.log("error", `sandbox ${record.name} (${id}) could not be taken over; the next start tries again`, error);
      }
    }
  }

  async #recoverRunning(record: SandboxRecord): Promise<void> {
    const found = await this.#on.driver.adopt(record);
    const ended = record.status.phase === SandboxPhase.COMPLETED || record.status.phase === SandboxPhase.ERROR;
    // A supervisor may have come back while we looked; then its session says what is.
    if (found === "running") {
      if (!this.#on.hasSession(record.id)) this.#on.store.derived(() => this.apply(record.id, { kind: "disconnected" }));
    } else if (ended && record.status.nextRestartTime !== undefined) this.#restartLater(record, "The gateway was away");
    // A shutdown reaches some supervisors before the gateway: what it ended did run.
    else if (ended && !(found === "rebooted" && readyReason(record.status) === STOPPED_BY_SIGNAL)) return;
    else if (found === "rebooted") await this.restart(record, "The machine was restarted; the sandbox starts again");
    else if (found === "told-to-end")
      await this.restart(record, "The supervisor was told to end while the gateway was away; it starts again");
    else if (found === "absent") await this.restart(record);
    else this.#crashed(record, "SupervisorExited", "The supervisor ended while the gateway was away");
  }

  #supervisorEnded({ sandboxId, instanceId, reason, message }: SupervisorEnd): void {
    const record = this.get(sandboxId);
    if (record === undefined || record.instanceId !== instanceId || record.desired !== "running") return;
    this.#on.endSession(sandboxId);
    if (record.spec.keep === false && record.status.exitCode !== undefined) {
      const gone = this.delete(record).then((made) => this.#gone.keep(`${record.workspace}/${record.name}`, made));
      void gone.catch((error) => this.#on.log("error", `sandbox ${record.name} could not be removed`, error));
      return;
    }
    this.#crashed(record, reason, message);
  }

  #crashed(record: SandboxRecord, reason: string, message: string): void {
    const policy = record.spec.restartPolicy;
    const again = policy === SandboxRestartPolicy.ALWAYS || policy === SandboxRestartPolicy.ON_FAILURE;
    const failed = this.apply(record.id, { kind: "failed", reason, message });
    if (again && failed !== undefined && failed.status.restartCount < MAX_RESTARTS) this.#restartLater(failed, message);
  }

  /** Starts a failed sandbox again after a pause that doubles with each start; the status says when. */
  #restartLater(record: SandboxRecord, message: string): void {
    const delay = Math.min(FIRST_RESTART_MS * 2 ** record.status.restartCount, LONGEST_RESTART_MS);
    this.patchStatus(record.id, { nextRestartTime: timestampFromMs(this.#on.clock.now() + delay) });
    const timer = setTimeout(() => {
      const now = this.get(record.id);
      // Stopped, deleted or started by someone meanwhile: no longer ours to start.
      if (now === undefined || now.desired !== "running" || now.instanceId !== record.instanceId) return;
      void this.restart(now, `Starting again: ${message}`).catch((error) =>
        this.#on.log("error", `sandbox ${record.name} could not be restarted`, error),
      );
    }, delay);
    timer.unref();
    this.#restarts.add(timer);
  }

  /** Forgets restarts that wait; the next start of the gateway decides anew. */
  close(): void {
    for (const timer of this.#restarts) clearTimeout(timer);
  }

  #change(id: string, change: (record: SandboxRecord) => SandboxChange): SandboxRecord | undefined {
    const record = this.#on.repository.get(id);
    if (record === undefined) return undefined;
    const after = this.#on.repository.update(id, change(record));
    // Supervisors that come back say what is known: nobody needs to hear it again.
    if (after.resourceVersion === record.resourceVersion) return after;
    this.#on.store.afterCommit(() => {
      if (after.status.phase !== record.status.phase) this.#announce(after, record.status);
      this.#on.bus.publish(id, { case: "status" });
    });
    return after;
  }

  /** Every change of phase is a platform event and a line of the gateway in the sandbox's log. */
  #announce(record: SandboxRecord, before: SandboxStatus): void {
    const [ready] = record.status.conditions;
    const [from, to] = [SandboxPhase[before.phase], SandboxPhase[record.status.phase]];
    const message = `${from} to ${to}: ${ready?.message ?? ""}`;
    const failed = record.status.phase === SandboxPhase.ERROR;
    this.#tell(record.id, failed ? "Error" : "Normal", ready?.reason ?? "", message);
  }

  /** A platform event for who watches, and a line in the sandbox's log for who looks later. */
  #tell(sandboxId: string, type: keyof typeof LOG_LEVEL, reason: string, message: string): void {
    this.#on.bus.publish(sandboxId, {
      case: "event",
      value: create(PlatformEventSchema, {
        eventTime: timestampFromMs(this.#on.clock.now()),
        source: "gateway",
        type: type === "Normal" ? "Normal" : "Warning",
        reason,
        message,
      }),
    });
    this.#on.logs.gateway(sandboxId, LOG_LEVEL[type], message);
  }
}

/** Platform events know Normal and Warning; an end that nobody wanted is an error in the log. */
const LOG_LEVEL = { Normal: "INFO", Warning: "WARN", Error: "ERROR" } as const;

/** Pause before the first restart, doubled with each further one. Milliseconds. */
const FIRST_RESTART_MS = 500;
const LONGEST_RESTART_MS = 30_000;

/** A supervisor that fails this often in a row will not be helped by another start. */
const MAX_RESTARTS = 5;
