import { OpenShellError } from "../../../error.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openAt } from "../../../linux/descriptors.ts";
import { attach, makeMountsPrivate, newFileSystem } from "../../../linux/mounts.ts";
import { enterMountNamespace, enterNamespace, openOwnNamespace, setHostName, unshare } from "../../../linux/namespaces.ts";
import { pidfdGetfd } from "../../../linux/pidfd.ts";
import { nameProcess, newSession } from "../../../linux/process-state.ts";
import { tcpSocket } from "../../../linux/tcp-socket.ts";
import type { LaunchSpec } from "./contract.ts";
import { Launched } from "./init-launch.ts";
import { type FromInit, INIT_CONTROL_FD, INIT_SUPERVISOR_FD, type ToInit } from "./init-protocol.ts";
import { startReaper } from "./init-reaper.ts";
import { openLineChannel } from "./line-channel.ts";
import { makeSessionView, openOwnImage, type SessionView } from "./session-view.ts";
import { Shims } from "./shims.ts";
import { buildView, type ViewOptions } from "./view-build.ts";
import { toWireError } from "./wire-error.ts";

/**
 * Pid 1 of the box's pid namespace: builds the view, starts programs on request, collects orphans. Root, outside the agent's Landlock,
 * never reachable from the view. It ends when the supervisor's end of the control socket closes, and the kernel ends everything with it.
 */
export async function main(): Promise<number> {
  nameProcess("openshell");
  newSession();
  const control = await openLineChannel(INIT_CONTROL_FD);
  const init = new Init((message) => control.send(message));
  const finished = Promise.withResolvers<number>();
  init.prepare();
  control.listen(
    (message) => init.receive(message as ToInit),
    () => finished.resolve(0),
  );
  return finished.promise;
}

class Init {
  readonly #report: (message: FromInit) => void;
  readonly #launches = new Map<number, Launched>();
  readonly #owned = new Set<number>();
  readonly #shims = new Shims(this.#owned);
  #view: ReturnType<typeof makeView> | undefined;
  #network: number | undefined;

  constructor(report: (message: FromInit) => void) {
    this.#report = report;
  }

  /** What needs no order: namespaces of its own, and a shim that starts while the policy is read. */
  prepare(): void {
    this.#setUp(() => {
      leaveNamespaces();
      startReaper(this.#owned);
      this.#shims.prepare();
    });
  }

  receive(message: ToInit): void {
    switch (message.type) {
      case "view":
        this.#setUp(() => {
          const owners = Object.entries(message.view.owners).map(([source, fd]) => [source, pidfdGetfd(INIT_SUPERVISOR_FD, fd)] as const);
          this.#view = makeView({ ...message.view, owners: Object.fromEntries(owners) });
          for (const [, fd] of owners) close(fd);
          this.#report({ type: "view-ready" });
        });
        return;
      case "network":
        this.#setUp(() => {
          this.#network = pidfdGetfd(INIT_SUPERVISOR_FD, message.boxNamespace);
          // For good: it needs no other network, and an ordinary user's could not come back to the machine's for each socket.
          enterNamespace(this.#network, "net");
          // It could take any descriptor of the supervisor; nothing else needs it.
          close(INIT_SUPERVISOR_FD);
          this.#report({ type: "network-ready" });
        });
        return;
      case "launch":
        this.#launch(message);
        return;
      case "taken":
        this.#launches.get(message.id)?.taken();
        return;
      case "signal":
        this.#launches.get(message.id)?.signal(message.signal);
        return;
      case "socket":
        this.#socket(message);
        return;
      case "socket-taken":
        close(message.descriptor);
    }
  }

  #setUp(step: () => void): void {
    try {
      step();
    } catch (reason) {
      this.#report({ type: "setup-failed", error: toWireError(reason) });
    }
  }

  #socket({ id, family }: Extract<ToInit, { type: "socket" }>): void {
    try {
      if (this.#network === undefined) throw new OpenShellError("failed_precondition", "the sandbox is not ready yet");
      this.#report({ type: "socket", id, descriptor: tcpSocket(family) });
    } catch (reason) {
      this.#report({ type: "socket-failed", id, error: toWireError(reason) });
    }
  }

  #launch(request: Extract<ToInit, { type: "launch" }>): void {
    if (this.#view === undefined || this.#network === undefined) {
      const error = toWireError(new OpenShellError("failed_precondition", "the sandbox is not ready yet"));
      this.#report({ type: "launch-failed", id: request.id, error });
      return;
    }
    let session: SessionView | undefined;
    try {
      session = this.#session(request.launch);
    } catch (reason) {
      this.#report({ type: "launch-failed", id: request.id, error: toWireError(reason) });
      return;
    }
    const launched = new Launched(request, {
      view: session?.namespace ?? this.#view.namespace,
      devpts: session?.devpts ?? this.#view.devpts,
      network: this.#network,
      shims: this.#shims,
      report: (message) => {
        if (message.type === "running") this.#shims.prepare();
        if (message.type === "exited" || message.type === "launch-failed") this.#launches.delete(request.id);
        this.#report(message);
      },
    });
    this.#launches.set(request.id, launched);
    void launched.start();
    // The launch has what it needs of it.
    session?.[Symbol.dispose]();
  }

  /** What this program alone sees; undefined for one that needs nothing of its own. */
  #session({ stdio, ownProgram }: LaunchSpec): SessionView | undefined {
    const terminal = typeof stdio === "object";
    if (this.#view === undefined || (!terminal && !ownProgram)) return undefined;
    if (!ownProgram) return makeSessionView(this.#view.namespace, { terminal });
    if (this.#view.ownImage === undefined) {
      throw new OpenShellError("failed_precondition", "the openshell program was replaced since this sandbox started", {
        next: "stop the sandbox and start it again",
      });
    }
    return makeSessionView(this.#view.namespace, { terminal, ownProgram: this.#view.ownImage });
  }
}

/** The outer mount namespace, with the host's root, where our own binary stays reachable for starting the shim. */
function leaveNamespaces(): void {
  unshare("mnt", "ipc", "uts");
  makeMountsPrivate();
  mountOwnProc();
}

/** The mount namespace of the programs, inside the outer one, to which we come back. */
function makeView(options: ViewOptions): { namespace: number; devpts: number; ownImage: number | undefined } {
  setHostName(options.hostName);
  const ownImage = openOwnImage();
  const outer = openOwnNamespace("mnt");
  unshare("mnt");
  const namespace = openOwnNamespace("mnt");
  const { devpts } = buildView(options);
  enterMountNamespace(outer);
  close(outer);
  return { namespace, devpts, ownImage };
}

/** So that /proc/self and the children's list are those of the box's pid namespace. */
function mountOwnProc(): void {
  const place = openAt(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY);
  const proc = newFileSystem("proc", {}, 0);
  attach(proc, place, "/proc");
  close(proc);
  close(place);
}
