import { constants } from "node:os";
import { OpenShellError } from "../../../error.ts";
import { changeOwner, close, closeAll, duplicate, pipe } from "../../../linux/descriptors.ts";
import { pidfdGetfd, pidfdOpen } from "../../../linux/pidfd.ts";
import { kill } from "../../../linux/process-state.ts";
import { openTerminal } from "../../../linux/terminal.ts";
import { setTerminalModes } from "../../../linux/terminal-modes.ts";
import type { FromInit, LaunchDescriptors, ToInit } from "./init-protocol.ts";
import type { LineChannel } from "./line-channel.ts";
import { hintFromHost } from "./program-path.ts";
import { OWN_PROGRAM_PATH } from "./session-view.ts";
import type { ShimAnswer, ShimOrder } from "./shim-protocol.ts";
import type { Shims } from "./shims.ts";
import { fromWireError, toWireError } from "./wire-error.ts";

type LaunchRequest = Extract<ToInit, { type: "launch" }>;

/** What every launch needs from init. */
export interface LaunchSurroundings {
  /** Mount namespace of the view, network namespace of the box, root of the view's devpts. */
  readonly view: number;
  readonly network: number;
  readonly devpts: number;
  readonly shims: Shims;
  readonly report: (message: FromInit) => void;
}

/** The two ends of a program's standard streams. */
interface Streams {
  readonly child: readonly [number, number, number];
  /** Ends for the supervisor; absent when the program uses the supervisor's own streams. */
  readonly parent?: LaunchDescriptors["stdio"];
  /** Our copies of the child's. */
  readonly temporary: readonly number[];
}

/** The same for our own executable, which this one program may read and run where its view shows it. */
function ownProgramOrder({ landlock, ...order }: ShimOrder): ShimOrder {
  const rule = { path: OWN_PROGRAM_PATH, access: "read", required: true } as const;
  return {
    ...order,
    argv: [OWN_PROGRAM_PATH, ...order.argv],
    ...(landlock === undefined ? {} : { landlock: { ...landlock, rules: [...landlock.rules, rule] } }),
  };
}

/** One program from request to exit. */
export class Launched {
  readonly #request: LaunchRequest;
  readonly #surroundings: LaunchSurroundings;
  readonly #handed = new Set<number>();
  /** Descriptors that are the shim's to copy. */
  readonly #lent = new Set<number>();
  #status: LineChannel | undefined;
  #pid = 0;
  #settled = false;
  #exitCode: number | undefined;
  #failed = false;
  /** The shim was told to go on; from then on the end of its status means that the program runs. */
  #released = false;

  constructor(request: LaunchRequest, surroundings: LaunchSurroundings) {
    this.#request = request;
    this.#surroundings = surroundings;
  }

  async start(): Promise<void> {
    try {
      const streams = this.#openStreams();
      for (const fd of streams.temporary) this.#lent.add(fd);
      const { view, network, shims } = this.#surroundings;
      const lentView = duplicate(view);
      this.#lent.add(lentView);
      const shim = shims.take();
      this.#pid = shim.pid;
      void shim.exited.then((code) => this.#onExit(code));
      const status = await shim.status;
      this.#status = status;
      status.listen(
        (message) => this.#onAnswer(message as ShimAnswer, streams),
        () => this.#onStatusEnd(),
      );
      status.send(this.#order({ stdio: streams.child, view: lentView, network }));
    } catch (reason) {
      this.#fail(OpenShellError.from(reason));
    }
  }

  /** The supervisor has its copies: let go of ours, and let the shim go on. */
  taken(): void {
    this.#release();
    this.#released = true;
    this.#status?.send("go");
  }

  /** To the program's process group; the program is a session leader, hence the group has its pid. */
  signal(signal: number): void {
    if (this.#pid > 0 && this.#exitCode === undefined) kill(-this.#pid, signal) || kill(this.#pid, signal);
  }

  #order(descriptors: ShimOrder["descriptors"]): ShimOrder {
    const { launch, uid, gid, landlock } = this.#request;
    const { environment, workdir, ownProgram } = launch;
    const terminal = typeof launch.stdio === "object";
    const confinement = landlock === undefined ? {} : { landlock };
    const order = { argv: launch.argv, environment, workdir, uid, gid, terminal, descriptors, ...confinement };
    return ownProgram ? ownProgramOrder(order) : order;
  }

  #openStreams(): Streams {
    const { uid, gid, launch } = this.#request;
    if (launch.stdio === "inherit") return { child: [0, 1, 2], temporary: [] };
    if (launch.stdio === "pipe") {
      const [input, output, error] = [pipe(), pipe(), pipe()];
      const child: [number, number, number] = [input.read, output.write, error.write];
      const parent = { stdin: input.write, stdout: output.read, stderr: error.read };
      for (const fd of Object.values(parent)) this.#handed.add(fd);
      // A program may open its own /dev/stdout again, by name: as its own user.
      for (const fd of child) changeOwner(fd, uid, gid);
      return { child, parent, temporary: child };
    }
    const { controller, terminal } = openTerminal(this.#surroundings.devpts, uid, gid, launch.stdio.columns, launch.stdio.rows);
    this.#handed.add(controller);
    // Before the program can look at them.
    if (launch.stdio.modes !== undefined) setTerminalModes(terminal, launch.stdio.modes);
    return {
      child: [terminal, terminal, terminal],
      parent: { stdin: controller, stdout: controller, stderr: controller },
      temporary: [terminal],
    };
  }

  #onAnswer(answer: ShimAnswer, streams: Streams): void {
    this.#takeBack();
    if ("error" in answer) {
      const error = fromWireError(answer.error);
      this.#fail(hintFromHost(error, this.#request.launch.argv[0] ?? "", this.#request.launch.environment));
      return;
    }
    try {
      const pidfd = pidfdOpen(this.#pid);
      this.#handed.add(pidfd);
      const listener = pidfdGetfd(pidfd, answer.listener);
      this.#handed.add(listener);
      const descriptors = { pidfd, listener, ...(streams.parent === undefined ? {} : { stdio: streams.parent }) };
      this.#surroundings.report({ type: "prepared", id: this.#request.id, descriptors });
    } catch (reason) {
      kill(this.#pid, constants.signals.SIGKILL);
      this.#fail(OpenShellError.from(reason));
    }
  }

  /** The status socket closes by itself when the program replaces the shim. */
  #onStatusEnd(): void {
    if (this.#settled) return;
    if (!this.#released) {
      this.#fail(new OpenShellError("internal", "the launcher ended before the program could start"));
      return;
    }
    this.#settled = true;
    this.#surroundings.report({ type: "running", id: this.#request.id });
    this.#reportExit();
  }

  #onExit(code: number): void {
    this.#exitCode = code;
    this.#reportExit();
  }

  #reportExit(): void {
    if (this.#exitCode === undefined || !this.#settled || this.#failed) return;
    this.#surroundings.report({ type: "exited", id: this.#request.id, code: this.#exitCode });
  }

  #fail(error: OpenShellError): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#failed = true;
    this.#release();
    this.#takeBack();
    this.#surroundings.report({ type: "launch-failed", id: this.#request.id, error: toWireError(error) });
  }

  #takeBack(): void {
    closeAll(this.#lent);
    this.#lent.clear();
  }

  #release(): void {
    for (const fd of this.#handed) close(fd);
    this.#handed.clear();
  }
}
