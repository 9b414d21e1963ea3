import { OpenShellError } from "../../../error.ts";
import { RLIMIT_CORE, setLimit } from "../../../linux/process-state.ts";
import { ConnectRecorder } from "./connect-recorder.ts";
import { InitClient } from "./init-client.ts";
import { openTrap, type Trap } from "./trap.ts";

/** Turns of the event loop from an answer that has arrived to what follows from it. */
const TURNS = 4;

/**
 * What every box is built on, whatever its policy says: an init, two network namespaces, the thread that records connections. Its processes
 * start on another processor while this one reads the policy and loads what enforces it.
 */
export class Ground implements AsyncDisposable {
  readonly recorder: ConnectRecorder;
  readonly #init: Promise<InitClient>;
  readonly #trap: Promise<Trap>;
  #over: Promise<void> | undefined;
  #settled = false;

  /** `groups`: control groups that every program is to be in. */
  constructor(groups?: readonly string[]) {
    // A core dump would hold every secret, in the directory that we were started in: often the workspace.
    setLimit(RLIMIT_CORE, 0);
    this.#init = InitClient.start((listener) => this.recorder.add(listener), groups);
    this.#trap = openTrap();
    this.recorder = new ConnectRecorder();
    // Whoever opens a box on it gets the failure.
    void Promise.allSettled([this.#init, this.#trap]).then(() => {
      this.#settled = true;
    });
  }

  /** Gives what has come from its processes a chance to be read; true when nothing more has to come. */
  async isReady(): Promise<boolean> {
    for (let turn = 0; turn < TURNS && !this.#settled; turn++) await new Promise(setImmediate);
    return this.#settled;
  }

  /** Waits for both; throws what kept one of them. */
  async ready(): Promise<{ readonly init: InitClient; readonly trap: Trap }> {
    const [init, trap] = await Promise.allSettled([this.#init, this.#trap]);
    if (init.status === "rejected") throw OpenShellError.from(init.reason);
    if (trap.status === "rejected") throw OpenShellError.from(trap.reason);
    return { init: init.value, trap: trap.value };
  }

  /** Ends it with everything on it; at once, however often it is asked for. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#over ??= this.#end();
    return this.#over;
  }

  async #end(): Promise<void> {
    const [init, trap] = await Promise.allSettled([this.#init, this.#trap]);
    if (trap.status === "fulfilled") trap.value[Symbol.dispose]();
    if (init.status === "fulfilled") await init.value.stop();
    await this.recorder[Symbol.asyncDispose]();
  }
}
