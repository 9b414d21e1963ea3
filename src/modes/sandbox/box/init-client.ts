import { OpenShellError } from "../../../error.ts";
import { moveToGroups } from "../../../linux/cgroup.ts";
import { close, closeAll, socketPair } from "../../../linux/descriptors.ts";
import { pidfdGetfd, pidfdOpen, pidfdSendSignal, pidOfPidfd } from "../../../linux/pidfd.ts";
import { resizeTerminal } from "../../../linux/terminal.ts";
import { type NamespacedProcess, spawnInPidNamespace } from "../rootless/init-process.ts";
import type { Child, LaunchSpec } from "./contract.ts";
import type { FromInit, LaunchDescriptors, ToInit } from "./init-protocol.ts";
import { type LineChannel, openLineChannel } from "./line-channel.ts";
import type { ViewOptions } from "./view-build.ts";
import { fromWireError } from "./wire-error.ts";

const SIGKILL = 9;
/** Exit code of a program whose box has ended under it: as if killed. */
const KILLED = 128 + SIGKILL;

/** What init needs to know about every program of this box. */
export type Confinement = Pick<Extract<ToInit, { type: "launch" }>, "uid" | "gid" | "landlock">;

interface PendingLaunch {
  readonly spec: LaunchSpec;
  readonly started: PromiseWithResolvers<Child>;
  readonly exited: PromiseWithResolvers<number>;
  taken?: TakenLaunch;
}

interface TakenLaunch {
  readonly pid: number;
  readonly stdio?: NonNullable<Child["stdio"]>;
}

/** The supervisor's side of init. */
export class InitClient {
  /** Settles when init has died, and with it every process of the box. */
  readonly ended: Promise<void>;
  /** Host pid. */
  readonly pid: number;
  readonly #pidfd: number;
  readonly #control: LineChannel;
  readonly #onListener: (listener: number) => void;
  readonly #groups: readonly string[];
  readonly #launches = new Map<number, PendingLaunch>();
  readonly #sockets = new Map<number, PromiseWithResolvers<number>>();
  readonly #viewReady = Promise.withResolvers<void>();
  readonly #networkReady = Promise.withResolvers<void>();
  #lastId = 0;
  #over = false;

  /**
   * Starts init in a new pid namespace. `onListener` gets each program's descriptor of reported connections, which it then owns; `groups`
   * are the control groups that every program is in.
   */
  static async start(onListener: (listener: number) => void, groups: readonly string[] = []): Promise<InitClient> {
    const [own, theirs] = socketPair();
    const self = pidfdOpen(process.pid);
    try {
      return new InitClient(
        spawnInPidNamespace(["sandbox-init"], ["inherit", "inherit", "inherit", theirs, self]),
        await openLineChannel(own),
        onListener,
        groups,
      );
    } finally {
      closeAll([theirs, self]);
    }
  }

  private constructor(init: NamespacedProcess, control: LineChannel, onListener: (listener: number) => void, groups: readonly string[]) {
    this.pid = init.pid;
    this.#pidfd = pidfdOpen(init.pid);
    this.#control = control;
    this.#onListener = onListener;
    this.#groups = groups;
    this.ended = init.exited.then(() => this.#onEnd());
    // Whoever waits for readiness gets the failure; nobody waiting is no reason to crash.
    this.#viewReady.promise.catch(() => {});
    this.#networkReady.promise.catch(() => {});
    control.listen(
      (message) => this.#receive(message as FromInit),
      () => this.#kill(),
    );
  }

  /** Builds the root view. */
  buildView(view: ViewOptions): Promise<void> {
    this.#send({ type: "view", view });
    return this.#viewReady.promise;
  }

  /** Gives init the box's network namespace, by descriptor number of this process. */
  giveNetwork(boxNamespace: number): Promise<void> {
    this.#send({ type: "network", boxNamespace });
    return this.#networkReady.promise;
  }

  /** Starts one program; settles when it runs or could not be started. */
  launch(spec: LaunchSpec, confinement: Confinement): Promise<Child> {
    if (this.#over) return Promise.reject(hasEnded());
    this.#lastId += 1;
    const pending: PendingLaunch = { spec, started: Promise.withResolvers(), exited: Promise.withResolvers() };
    this.#launches.set(this.#lastId, pending);
    this.#send({ type: "launch", id: this.#lastId, launch: spec, ...confinement });
    return pending.started.promise;
  }

  /** A TCP socket of the box's network, non-blocking and unconnected, owned by the caller. */
  openSocket(family: number): Promise<number> {
    if (this.#over) return Promise.reject(hasEnded());
    this.#lastId += 1;
    const pending = Promise.withResolvers<number>();
    this.#sockets.set(this.#lastId, pending);
    this.#send({ type: "socket", id: this.#lastId, family });
    return pending.promise;
  }

  /** Kills init, hence everything in the box, and waits for that. */
  async stop(): Promise<void> {
    this.#kill();
    await this.ended;
  }

  #kill(): void {
    if (!this.#over) pidfdSendSignal(this.#pidfd, SIGKILL);
  }

  #receive(message: FromInit): void {
    switch (message.type) {
      case "view-ready":
        this.#viewReady.resolve();
        return;
      case "network-ready":
        this.#networkReady.resolve();
        return;
      case "setup-failed":
        this.#viewReady.reject(fromWireError(message.error));
        this.#networkReady.reject(fromWireError(message.error));
        return;
      case "prepared":
        this.#prepared(message.id, message.descriptors);
        return;
      case "running":
        this.#running(message.id);
        return;
      case "launch-failed":
        this.#failed(message.id, fromWireError(message.error));
        return;
      case "exited":
        this.#launches.get(message.id)?.exited.resolve(message.code);
        this.#launches.delete(message.id);
        return;
      case "socket":
        this.#takeSocket(message.id, message.descriptor);
        return;
      case "socket-failed":
        this.#sockets.get(message.id)?.reject(fromWireError(message.error));
        this.#sockets.delete(message.id);
    }
  }

  #takeSocket(id: number, descriptor: number): void {
    const pending = this.#sockets.get(id);
    this.#sockets.delete(id);
    try {
      pending?.resolve(pidfdGetfd(this.#pidfd, descriptor));
    } catch (reason) {
      pending?.reject(OpenShellError.from(reason));
    }
    this.#send({ type: "socket-taken", descriptor });
  }

  #prepared(id: number, descriptors: LaunchDescriptors): void {
    const pending = this.#launches.get(id);
    if (pending === undefined) return;
    try {
      pending.taken = this.#take(descriptors);
      this.#send({ type: "taken", id });
    } catch (reason) {
      // The program must not run when its connections would have no identity.
      this.#send({ type: "signal", id, signal: SIGKILL });
      this.#failed(id, OpenShellError.from(reason));
    }
  }

  #take(descriptors: LaunchDescriptors): TakenLaunch {
    const taken: number[] = [];
    const take = (fd: number) => {
      const own = pidfdGetfd(this.#pidfd, fd);
      taken.push(own);
      return own;
    };
    try {
      const pidfd = take(descriptors.pidfd);
      const pid = pidOfPidfd(pidfd);
      const stdio = descriptors.stdio && this.#takeStreams(descriptors.stdio, take);
      const listener = take(descriptors.listener);
      // As late as can be: what a launch itself takes is the supervisor's, so that a box at its limits can still be entered.
      moveToGroups(pid, this.#groups);
      close(pidfd);
      this.#onListener(listener);
      return { pid, ...(stdio === undefined ? {} : { stdio }) };
    } catch (reason) {
      closeAll(taken);
      throw reason;
    }
  }

  #takeStreams(stdio: NonNullable<LaunchDescriptors["stdio"]>, take: (fd: number) => number): NonNullable<Child["stdio"]> {
    const stdin = take(stdio.stdin);
    // A terminal is one descriptor for all three.
    if (stdio.stdout === stdio.stdin) return { stdin, stdout: stdin, stderr: stdin };
    return { stdin, stdout: take(stdio.stdout), stderr: take(stdio.stderr) };
  }

  #running(id: number): void {
    const pending = this.#launches.get(id);
    if (pending?.taken === undefined) return;
    const { pid, stdio } = pending.taken;
    const terminal = typeof pending.spec.stdio === "object" ? stdio?.stdin : undefined;
    pending.started.resolve({
      pid,
      ...(stdio === undefined ? {} : { stdio }),
      exited: pending.exited.promise,
      signal: (signal) => this.#send({ type: "signal", id, signal }),
      resize: (columns, rows) => {
        if (terminal !== undefined && this.#launches.has(id)) resizeTerminal(terminal, columns, rows);
      },
    });
  }

  #failed(id: number, error: OpenShellError): void {
    const pending = this.#launches.get(id);
    if (pending === undefined) return;
    this.#launches.delete(id);
    if (pending.taken?.stdio) closeAll(new Set(Object.values(pending.taken.stdio)));
    pending.started.reject(error);
  }

  #onEnd(): void {
    this.#control.close();
    this.#over = true;
    close(this.#pidfd);
    const error = hasEnded();
    this.#viewReady.reject(error);
    this.#networkReady.reject(error);
    for (const pending of this.#sockets.values()) pending.reject(error);
    this.#sockets.clear();
    for (const [id, pending] of [...this.#launches]) {
      pending.exited.resolve(KILLED);
      this.#failed(id, error);
    }
  }

  #send(message: ToInit): void {
    this.#control.send(message);
  }
}

function hasEnded(): OpenShellError {
  return new OpenShellError("aborted", "the sandbox has ended", { next: "start it again" });
}
