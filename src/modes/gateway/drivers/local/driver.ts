import { closeSync, fstatSync, mkdirSync, readdirSync } from "node:fs";
import { OpenShellError } from "../../../../error.ts";
import { bootId, startTime } from "../../../../linux/process-facts.ts";
import { removeTree } from "../../../../linux/remove-tree.ts";
import { policyFromProto } from "../../../../policy/proto.ts";
import { ownEnvironment, selfCommand } from "../../../../reexec.ts";
import type { SandboxPolicy } from "../../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import type { StaticSections, SupervisorSpec } from "../../../../supervisor-spec.ts";
import type { UpstreamProxySettings } from "../../../../upstream-proxy/settings.ts";
import { writeFileAtomically } from "../../files.ts";
import type { Log } from "../../log.ts";
import { resourceLimits } from "../../sandboxes/resources.ts";
import type { SandboxRecord } from "../../store/sandboxes.ts";
import { type ComputeDriver, type Found, type SandboxNotice, STOPPED_BY_SIGNAL, type StartOptions, type SupervisorEnd } from "../driver.ts";
import { ordinaryUser, whyNoSandbox } from "./caller.ts";
import { groupName, groupOwner, removeLeftGroups } from "./cgroup-sweep.ts";
import { SandboxGroup } from "./cgroups.ts";
import {
  forgetProcess,
  lastError,
  makeDirectories,
  openLog,
  readExit,
  readSupervisorRecord,
  type SandboxDirectory,
  sandboxDirectory,
  writeEndpoint,
  writeSpec,
  writeSupervisorRecord,
  writeToken,
} from "./directory.ts";
import { leaveDelegatedGroup, machineHierarchies } from "./hierarchies.ts";
import { type LimitWatch, watchLimits } from "./limit-watch.ts";
import { endProcess, type FoundSupervisor, findSupervisors, isRunning, type ProcessName } from "./processes.ts";

export interface LocalDriverOptions {
  /** `$STATE/sandboxes` */
  readonly root: string;
  /** How supervisors reach this gateway; known once it listens. */
  readonly endpoint: () => string;
  /** PEM of the authority that signed the gateway's certificate; empty with plaintext. */
  readonly caCertificate: string;
  readonly issueToken: (sandboxId: string) => Promise<string>;
  readonly clock: { now(): number };
  readonly trustedCidrs: readonly string[];
  readonly internalDomains: readonly string[];
  readonly upstreamCa?: string;
  readonly upstreamProxy?: UpstreamProxySettings;
  readonly log: Log;
  /** The program that supervises; tests put another in its place. */
  readonly command?: readonly string[];
}

/** Ends of supervisors that are not our children are noticed within this time; of those that are at once. */
const WATCH_MS = 1000;

/**
 * A token in a sandbox's file is never older. Supervisors renew theirs by themselves, but a machine that slept, or whose clock was set, wakes
 * with tokens that are all over: then what the file holds is good. Milliseconds; a third of what a token lives.
 */
const TOKEN_AGE_MS = 20 * 60 * 1000;

interface Watched extends ProcessName {
  readonly instanceId: string;
  /** Whether it has ended; the runtime knows it of our children, of others the kernel is asked. */
  isOver(): boolean;
  /** Set while the gateway itself ends the process. */
  stopping: boolean;
  /** Bytes of the log that earlier supervisors wrote. */
  readonly logFrom: number;
  /** When its token was written last. Milliseconds since the epoch. */
  tokenAt: number;
  /** Absent: the sandbox has no limits. */
  readonly limits?: LimitWatch;
}

/** One supervisor process per sandbox on this machine: a session leader that outlives the gateway. */
export function localDriver(options: LocalDriverOptions): ComputeDriver {
  mkdirSync(options.root, { recursive: true, mode: 0o700 });
  const watched = new Map<string, Watched>();
  let tell: (end: SupervisorEnd) => void = () => {};
  let notify: (notice: SandboxNotice) => void = () => {};
  const boot = bootId();
  const owner = groupOwner(options.root);
  const groupOf = (id: string) => new SandboxGroup(groupName(owner, id));

  const check = (): void => {
    for (const [id, supervisor] of watched) {
      try {
        for (const message of supervisor.limits?.news() ?? []) notify({ sandboxId: id, reason: "LimitReached", message });
        if (supervisor.stopping) continue;
        if (supervisor.isOver()) ended(id, supervisor);
        else if (Math.abs(options.clock.now() - supervisor.tokenAt) >= TOKEN_AGE_MS) void renewToken(id, supervisor);
      } catch (error) {
        // The store cannot be written, say: it is watched on, and told at the next look.
        options.log("error", `what became of sandbox ${id} could not be written down`, error);
      }
    }
  };
  const timer = setInterval(check, WATCH_MS);

  /** What was issued before a clock went back lives too long, what before it went ahead is over: both are replaced. */
  async function renewToken(id: string, supervisor: Watched): Promise<void> {
    supervisor.tokenAt = options.clock.now();
    try {
      const token = await options.issueToken(id);
      if (watched.get(id) === supervisor && !supervisor.stopping) writeToken(sandboxDirectory(options.root, id), token);
    } catch (error) {
      options.log("error", `sandbox ${id} could not be given a new token`, error);
    }
  }

  function ended(id: string, supervisor: Watched): void {
    if (watched.get(id) !== supervisor || supervisor.stopping) return;
    const directory = sandboxDirectory(options.root, id);
    const exit = readExit(directory, supervisor.instanceId);
    const held = supervisor.limits?.news() ?? [];
    for (const message of held) notify({ sandboxId: id, reason: "LimitReached", message });
    const signal = exit?.signal;
    const reason = signal === undefined ? "SupervisorExited" : STOPPED_BY_SIGNAL;
    const message =
      exit === undefined
        ? (lastError(directory, supervisor.logFrom) ?? ["The supervisor ended without a word", ...held].join(": "))
        : signal === undefined
          ? exit.reason || `The supervisor exited with code ${exit.exitCode}`
          : `The supervisor was told to end by ${signal}, not by its gateway`;
    tell({ sandboxId: id, instanceId: supervisor.instanceId, reason, message });
    watched.delete(id);
  }

  async function spawn({ id, instanceId, spec }: SandboxRecord, directory: SandboxDirectory): Promise<void> {
    const limits = resourceLimits(spec);
    const group = groupOf(id);
    group.prepare(limits);
    const log = openLog(directory);
    const logFrom = fstatSync(log).size;
    try {
      const child = Bun.spawn({
        cmd: [...(options.command ?? selfCommand()), "sandbox", "run", "--spec", directory.specFile],
        cwd: "/",
        env: ownEnvironment(),
        stdin: "ignore",
        stdout: log,
        stderr: log,
        detached: true,
      });
      child.unref();
      const start = startTime(child.pid);
      if (start === undefined) throw new OpenShellError("internal", "the supervisor ended at once");
      let over = false;
      const supervisor: Watched = {
        isOver: () => over,
        pid: child.pid,
        startTime: start,
        instanceId,
        stopping: false,
        logFrom,
        tokenAt: options.clock.now(),
        ...watchLimits(group, limits),
      };
      writeSupervisorRecord(directory, { pid: child.pid, startTime: start, bootId: boot, instanceId });
      watched.set(id, supervisor);
      try {
        await group.enter(child.pid, limits);
      } catch (error) {
        supervisor.stopping = true;
        child.kill("SIGKILL");
        throw error;
      }
      void child.exited.then(() => {
        over = true;
        check();
      });
    } finally {
      closeSync(log);
    }
  }

  /** Steps of one sandbox, one after the other: a stop ends what a start before it is about to start, and two starts never overlap. */
  const turns = new Map<string, Promise<unknown>>();
  function inTurn<T>(id: string, step: () => Promise<T>): Promise<T> {
    const mine = (turns.get(id) ?? Promise.resolve()).then(step, step);
    const settled = mine
      .catch(() => {})
      .then(() => {
        if (turns.get(id) === settled) turns.delete(id);
      });
    turns.set(id, settled);
    return mine;
  }

  async function start(record: SandboxRecord, { attended = false }: StartOptions = {}): Promise<void> {
    const directory = sandboxDirectory(options.root, record.id);
    makeDirectories(directory, idsOf(record));
    forgetProcess(directory);
    writeToken(directory, await options.issueToken(record.id));
    writeEndpoint(directory, options.endpoint());
    writeFileAtomically(directory.caFile, options.caCertificate, 0o644, { lastsBoot: true });
    writeSpec(directory, { ...supervisorSpec(record, directory, options), ...programLimits(record, groupOf(record.id)), attended });
    await spawn(record, directory);
  }

  async function remove(id: string): Promise<void> {
    await stop(id);
    await groupOf(id).remove();
    await removeTree(sandboxDirectory(options.root, id).path);
  }

  async function stop(id: string): Promise<void> {
    const directory = sandboxDirectory(options.root, id);
    const supervisor = watched.get(id) ?? recorded(directory);
    if (supervisor === undefined) return;
    if ("stopping" in supervisor) supervisor.stopping = true;
    await endProcess(supervisor);
    watched.delete(id);
    forgetProcess(directory);
  }

  function recorded(directory: SandboxDirectory): ProcessName | undefined {
    const record = readSupervisorRecord(directory);
    return record?.bootId === boot ? record : undefined;
  }

  /** Whether a supervisor is the one that was written down; also where that cannot be read now, since then nobody knows that it is not. */
  function isRecorded({ sandboxId, pid, startTime: start }: FoundSupervisor): boolean {
    try {
      const last = readSupervisorRecord(sandboxDirectory(options.root, sandboxId));
      return last?.pid === pid && last.startTime === start;
    } catch (error) {
      options.log("error", `supervisor ${pid} of sandbox ${sandboxId} is left alone: its record cannot be read`, error);
      return true;
    }
  }

  if (ordinaryUser() !== undefined) {
    leaveDelegatedGroup(machineHierarchies());
    void whyNoSandbox().then((reason) => reason !== undefined && options.log("warn", reason));
  }

  return {
    name: "local",
    admit: ({ spec }) => SandboxGroup.check(resourceLimits(spec)),
    start: (record, how) => inTurn(record.id, () => start(record, how)),
    stop: (id) => inTurn(id, () => stop(id)),
    remove: (id) => inTurn(id, () => remove(id)),
    async adopt(record): Promise<Found> {
      const directory = sandboxDirectory(options.root, record.id);
      const last = readSupervisorRecord(directory);
      if (last === undefined) return "absent";
      if (last.bootId !== boot) return "rebooted";
      if (last.instanceId !== record.instanceId) return "crashed";
      if (!isRunning(last)) return readExit(directory, record.instanceId)?.signal === undefined ? "crashed" : "told-to-end";
      writeToken(directory, await options.issueToken(record.id));
      writeEndpoint(directory, options.endpoint());
      const limits = watchLimits(groupOf(record.id), resourceLimits(record.spec));
      // It runs, so what it could not begin is no matter any more.
      const since = { logFrom: Number.POSITIVE_INFINITY, tokenAt: options.clock.now() };
      watched.set(record.id, { ...last, isOver: () => !isRunning(last), stopping: false, ...since, ...limits });
      return "running";
    },
    onEnd(listener) {
      tell = listener;
    },
    onNotice(listener) {
      notify = listener;
    },
    async sweep(isKnown) {
      // A gateway killed between starting a supervisor and writing down its pid leaves one that nothing else would find.
      for (const supervisor of findSupervisors(options.root)) {
        const id = supervisor.sandboxId;
        if (isKnown(id) && isRecorded(supervisor)) continue;
        options.log("warn", `ending supervisor ${supervisor.pid} of sandbox ${id}, which nothing owns`);
        await endProcess(supervisor);
      }
      for (const id of readdirSync(options.root)) {
        if (isKnown(id)) continue;
        const { path } = sandboxDirectory(options.root, id);
        options.log("warn", `removing ${path}, which nothing owns`);
        try {
          await groupOf(id).remove();
          await removeTree(path);
        } catch (error) {
          options.log("error", `${path} could not be removed; the next start tries again`, error);
        }
      }
      const left = removeLeftGroups(owner, isKnown);
      if (left.length > 0) options.log("warn", `removed the empty control groups of ${left.length} sandboxes that are gone`);
    },
    close() {
      clearInterval(timer);
      watched.clear();
    },
  };
}

/** Who the agent is: the sandbox's own user, or the one whose gateway this is. */
function idsOf({ uid }: SandboxRecord): { readonly uid: number; readonly gid: number } {
  return ordinaryUser() ?? { uid, gid: uid };
}

function supervisorSpec(record: SandboxRecord, directory: SandboxDirectory, options: LocalDriverOptions): SupervisorSpec {
  const { spec } = record;
  return {
    version: 1,
    sandboxId: record.id,
    sandboxName: record.name,
    workspace: record.workspace,
    instanceId: record.instanceId,
    gateway: {
      endpoint: options.endpoint(),
      caFile: directory.caFile,
      tokenFile: directory.tokenFile,
      endpointFile: directory.endpointFile,
    },
    directory: directory.path,
    command: spec.command,
    tty: spec.tty,
    environment: { ...spec.template?.environment, ...spec.environment },
    ...idsOf(record),
    mounts: spec.mounts.map(({ source, target, readWrite }) => ({ source, target: target === "" ? source : target, readWrite })),
    trustedCidrs: [...options.trustedCidrs, ...spec.trustedCidrs],
    internalDomains: [...options.internalDomains, ...spec.internalDomains],
    ...(options.upstreamCa === undefined ? {} : { upstreamCa: options.upstreamCa }),
    ...(options.upstreamProxy === undefined ? {} : { upstreamProxy: options.upstreamProxy }),
    keep: spec.keep ?? true,
    ...(spec.policy === undefined ? {} : { expected: staticSections(spec.policy) }),
  };
}

function staticSections(policy: SandboxPolicy): StaticSections {
  const { filesystem, landlock } = policyFromProto({ ...policy, networkPolicies: {} });
  return { ...(filesystem && { filesystem }), ...(landlock && { landlock }) };
}

/** The groups and the memory of the programs, where the sandbox has limits. */
function programLimits({ spec }: SandboxRecord, group: SandboxGroup): Pick<SupervisorSpec, "limits"> {
  const limits = resourceLimits(spec);
  const groups = group.agentGroups(limits);
  const { memoryBytes } = limits;
  return groups.length === 0 ? {} : { limits: { groups, ...(memoryBytes === undefined ? {} : { memoryBytes }) } };
}
