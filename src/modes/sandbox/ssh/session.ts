import { constants } from "node:os";
import type { PseudoTtyInfo, ServerChannel, Session, SignalInfo, WindowChangeInfo } from "ssh2";
import { OpenShellError } from "../../../error.ts";
import { duplicate } from "../../../linux/descriptors.ts";
import type { TerminalModes } from "../../../linux/terminal-modes.ts";
import { Ending } from "../../../rpc/ending.ts";
import type { Child, LaunchSpec } from "../box/contract.ts";
import { DescriptorWriter, readPipe, readTerminal } from "../descriptor-stream.ts";
import type { Attachment, MainProcess, Spectator } from "../main-process.ts";
import { programFor, type RequestedTerminal, type Surroundings, type Wanted } from "./program.ts";

/** How long output may still come after the program has ended: a background process may hold its pipes for ever. Milliseconds. */
const DRAIN_TIME = 2000;

const DEFAULT_SIZE = { columns: 80, rows: 24 };

/** What shells report for a program that cannot be run or found. */
const CANNOT_RUN_EXIT_CODE = 126;
const NOT_FOUND_EXIT_CODE = 127;

/** What a session needs of the sandbox. */
export interface SessionContext {
  /** Starts a confined program. */
  launch(spec: LaunchSpec): Promise<Child>;
  /** What every program of this sandbox is started with, at this moment. */
  surroundings(): Surroundings;
  /** The SFTP server, a confined program as well. */
  launchSftp(surroundings: Surroundings): Promise<Child>;
  /** What the subsystem of the main process shows; absent when there is none. */
  readonly main?: MainProcess;
}

/** The subsystem by which clients reach the main process, as the published client calls it. */
const MAIN_SUBSYSTEM = "openshell-main";

/**
 * One session channel: at most one program, confined like the agent. Refused without a listener here: variables of the client's
 * environment, agent and X11 forwarding.
 */
export class SshSession {
  readonly #context: SessionContext;
  #terminal: RequestedTerminal | undefined;
  #child: Child | undefined;
  #attached: Attachment | undefined;
  #over = false;
  readonly #ended: () => void;

  constructor(session: Session, context: SessionContext, modes: () => TerminalModes, ended: () => void) {
    this.#context = context;
    this.#ended = ended;
    session.on("pty", (accept, _reject, info) => {
      this.#terminal = requestedTerminal(info, modes());
      accept?.();
    });
    session.on("window-change", (accept, _reject, info) => {
      this.#resize(info);
      accept?.();
    });
    session.on("signal", (accept, _reject, info) => {
      this.#signal(info);
      accept?.();
    });
    session.on("shell", (accept) => this.#program(accept(), { kind: "shell" }));
    session.on("exec", (accept, _reject, { command }) => this.#program(accept(), { kind: "command", command }));
    session.on("subsystem", (accept, reject, { name }) => {
      if (name === "sftp") this.#start(accept(), () => context.launchSftp(context.surroundings()));
      else if (name === MAIN_SUBSYSTEM && context.main) this.#attach(accept(), context.main);
      else reject();
    });
    session.on("close", () => this.hangUp());
  }

  /** The client is gone: its program is told, as a terminal that is closed tells. */
  hangUp(): void {
    if (this.#over) return;
    this.#over = true;
    this.#child?.signal(constants.signals.SIGHUP);
    this.#attached?.leave();
    this.#ended();
  }

  #program(channel: ServerChannel, wanted: Wanted): void {
    const spec = programFor(wanted, this.#terminal, this.#context.surroundings());
    this.#start(channel, () => this.#context.launch(spec));
  }

  /** A failure of ours, descriptors that have run out for one, ends this session and no other. */
  #start(channel: ServerChannel, launch: () => Promise<Child>): void {
    this.#run(channel, launch).catch(() => channel.close());
  }

  #attach(channel: ServerChannel, main: MainProcess): void {
    channel.on("error", () => {});
    channel.on("close", () => this.hangUp());
    const spectator: Spectator = {
      show: (stream, piece) => (stream === "stderr" && this.#terminal === undefined ? channel.stderr : channel).write(piece),
      drained: () => new Promise((resolve) => channel.once("drain", resolve).once("close", resolve)),
      ended: (code) => endChannel(channel, code),
      dropped: () => channel.close(),
    };
    const attachment = main.attach(spectator, this.#terminal);
    this.#attached = attachment;
    void (async () => {
      for await (const piece of channel.iterator({ destroyOnReturn: false })) await attachment.type(piece as Uint8Array);
    })().catch(() => {}); // the channel broke; its close has hung up
  }

  async #run(channel: ServerChannel, launch: () => Promise<Child>): Promise<void> {
    channel.on("error", () => {});
    const closed = new Ending(
      new Promise<void>((resolve) =>
        channel.on("close", () => {
          this.hangUp();
          resolve();
        }),
      ),
    );
    let child: Child;
    try {
      child = await launch();
    } catch (error) {
      const { message, next, code } = OpenShellError.from(error);
      channel.stderr.write(`openshell: ${message}${next ? ` (${next})` : ""}\r\n`);
      endChannel(channel, code === "not_found" ? NOT_FOUND_EXIT_CODE : CANNOT_RUN_EXIT_CODE);
      return;
    }
    this.#child = child;
    if (this.#over) child.signal(constants.signals.SIGHUP);
    const { stdio } = child;
    if (stdio === undefined) throw new Error("a program of a session has streams of its own");
    const terminal = stdio.stdout === stdio.stdin;
    const output = terminal
      ? [copyOut(readTerminal(stdio.stdout), channel, closed)]
      : [copyOut(readPipe(stdio.stdout), channel, closed), copyOut(readPipe(stdio.stderr), channel.stderr, closed)];
    // Of a terminal, reader and writer each own a descriptor: whichever ends first must not close the other's.
    void copyIn(channel, new DescriptorWriter(terminal ? duplicate(stdio.stdin) : stdio.stdin), !terminal, closed);
    const code = await child.exited;
    await Promise.race([Promise.allSettled(output), Bun.sleep(DRAIN_TIME)]);
    endChannel(channel, code);
  }

  #resize(size: WindowChangeInfo): void {
    this.#child?.resize(size.cols, size.rows);
    this.#attached?.resize(size.cols, size.rows);
    if (this.#terminal !== undefined) this.#terminal = { ...this.#terminal, columns: size.cols, rows: size.rows };
  }

  #signal({ name }: SignalInfo): void {
    const number = constants.signals[`SIG${name.replace(/^SIG/, "")}` as NodeJS.Signals];
    if (number !== undefined) this.#child?.signal(number);
  }
}

function requestedTerminal(info: PseudoTtyInfo, modes: TerminalModes): RequestedTerminal {
  const { cols, rows, term } = info as PseudoTtyInfo & { readonly term?: string };
  // Zero is what a client says that knows no size.
  return { columns: cols || DEFAULT_SIZE.columns, rows: rows || DEFAULT_SIZE.rows, term: term ?? "", modes };
}

/** Status, then the end of the output, then the end of the channel. */
function endChannel(channel: ServerChannel, code: number): void {
  channel.exit(code);
  channel.end();
}

/** Copies a program's output as fast as the client takes it. */
async function copyOut(source: AsyncIterable<Uint8Array>, sink: NodeJS.WritableStream, closed: Ending<void>): Promise<void> {
  for await (const piece of source) {
    if (closed.over) return;
    if (!sink.write(piece)) await closed.race(new Promise<void>((resolve) => sink.once("drain", () => resolve())));
  }
}

/** Copies the client's input to the program. `closes`: its end is the end of the program's input; a terminal has none. */
async function copyIn(channel: ServerChannel, writer: DescriptorWriter, closes: boolean, closed: Ending<void>): Promise<void> {
  try {
    // The end of the input is not the end of the channel.
    for await (const piece of channel.iterator({ destroyOnReturn: false })) await writer.write(piece as Uint8Array);
    if (!closes) await closed.race(new Promise<never>(() => {}));
  } catch {
    // The channel broke; its close has hung up.
  } finally {
    await writer.close();
  }
}
