import { writeSync } from "node:fs";
import { constants } from "node:os";
import { OpenShellError } from "../../error.ts";
import type { EventSink } from "../../events/event.ts";
import { duplicate } from "../../linux/descriptors.ts";
import { MAIN_OUTPUT_MARK } from "../../supervisor-spec.ts";
import type { Box, Child } from "./box/contract.ts";
import { DescriptorWriter, readPipe, readTerminal } from "./descriptor-stream.ts";
import { OutputRing, type OutputStream } from "./output-ring.ts";
import { superviseChild } from "./supervise-child.ts";

/** What is kept for people who look at the process later: some screens of a full-screen program, or a thousand lines. */
const REPLAY_BYTES = 256 * 1024;

/** What a main process without a terminal may write into the supervisor's log file; a flood must not fill the disk. */
const MAX_LOGGED_BYTES = 16 * 1024 * 1024;

/** The process waits this long for a person whose connection does not take its output; then that person is no longer shown it. Milliseconds. */
const STALL_TIME = 5_000;

/** Whoever made a sandbox for one command comes to look as soon as it is ready; who has not by then does not. Milliseconds. */
const FIRST_LOOK_TIME = 30_000;

/** How long output may still come after the process has ended: what it left behind may hold its pipes. Milliseconds. */
const DRAIN_TIME = 2_000;

/** What shells report for a program that cannot be run or found. */
const CANNOT_RUN_EXIT_CODE = 126;
const NOT_FOUND_EXIT_CODE = 127;

const DEFAULT_SIZE = { columns: 80, rows: 24 };

/** Somebody who looks at the process. */
export interface Spectator {
  /** False: wait for `drained`. */
  show(stream: OutputStream, piece: Uint8Array): boolean;
  drained(): Promise<void>;
  /** The process has ended. */
  ended(exitCode: number): void;
  /** Too slow for the process: nothing more is shown. */
  dropped(): void;
}

/** A spectator's way to the process. */
export interface Attachment {
  /** Keys, for a process with a terminal; or what an attended one reads. Others read nothing. */
  type(bytes: Uint8Array): Promise<void>;
  /** Nothing more is typed; a terminal has no such end. */
  endInput(): Promise<void>;
  resize(columns: number, rows: number): void;
  /** The spectator leaves; the process goes on. */
  leave(): void;
}

export interface MainProcessOptions {
  readonly command: readonly string[];
  /** With a terminal of its own. */
  readonly tty: boolean;
  readonly box: Box;
  readonly workdir: string;
  environment(): Record<string, string>;
  readonly emit: EventSink;
  /**
   * Somebody made the sandbox for this command and comes to look: its output waits for them, they are shown all of it at their speed, and
   * without a terminal they feed its standard input. Whoever looks when they have left is a spectator.
   */
  readonly attended: boolean;
}

/** The program that a sandbox is for. It runs whether anybody looks or not; who looks is shown the last of its output first. */
export class MainProcess {
  readonly #options: MainProcessOptions;
  readonly #output = new OutputRing(REPLAY_BYTES);
  readonly #spectators = new Set<Spectator>();
  #child: Child | undefined;
  /** Of its terminal. */
  #size = DEFAULT_SIZE;
  #keys: DescriptorWriter | undefined;
  #exitCode: number | undefined;
  #logged = 0;
  readonly #exited = Promise.withResolvers<number>();
  /** It runs, or could not be started. Who looks may be there, and type, before. */
  readonly #started = Promise.withResolvers<void>();
  readonly #looked = Promise.withResolvers<void>();
  readonly #left = Promise.withResolvers<void>();
  /** Those who have attached and not left. */
  #present = 0;
  /** Whoever it is for has not come yet, or is there. */
  #attended: boolean;
  /** Somebody has attached, or it is too late for that. */
  #waited: Promise<unknown> | undefined;
  /** Bytes and pieces of output so far, and those who look and have not taken the last one. */
  #bytes = 0;
  #pieces = 0;
  #waiting = 0;

  constructor(options: MainProcessOptions) {
    this.#options = options;
    this.#attended = options.attended;
  }

  /** Settles when it has ended, of an attended process before all of its output was shown: 0..255, 128 + signal, or what shells report. */
  get exited(): Promise<number> {
    return this.#exited.promise;
  }

  /** Settles when whoever attends it has seen everything, or nobody has come; at once for a process that is not attended. To be asked after `run`. */
  async seen(): Promise<void> {
    if (!this.#attended) return;
    await this.#waited;
    if (this.#present > 0) await this.#left.promise;
  }

  /** Starts it and waits for its end. 0..255, 128 + signal, or what shells report for a program that cannot be run. */
  async run(): Promise<number> {
    const { command, emit } = this.#options;
    const name = command[0] ?? "";
    let code: number;
    if (this.#attended) this.#waited = this.#firstLook();
    try {
      const child = await this.#launch();
      this.#started.resolve();
      const time = Date.now();
      emit({ kind: "process", activity: "launch", time, severity: "informational", name, pid: child.pid, commandLine: command.join(" ") });
      const shown = this.#showAll(child);
      code = await superviseChild(child, this.#options.box);
      if (this.#attended) {
        this.#exited.resolve(code);
        await this.#waited;
        // Whoever attends it takes the output when it suits; what a background process still holds is not waited for, nor what one still writes when
        // nobody is there any more.
        while (!(await this.#isIdle(shown)) && this.#attended);
      } else await Promise.race([shown, Bun.sleep(DRAIN_TIME)]);
    } catch (error) {
      code = this.#notStarted(error);
    }
    emit({ kind: "process", activity: "terminate", time: Date.now(), severity: "informational", name, pid: 0, exitCode: code });
    this.#exitCode = code;
    this.#started.resolve();
    this.#exited.resolve(code);
    void this.#keys?.close();
    for (const spectator of this.#spectators) spectator.ended(code);
    this.#spectators.clear();
    return code;
  }

  /** Shows the process to somebody: the last of its output, then what comes, then its end. */
  attach(spectator: Spectator, size?: { readonly columns: number; readonly rows: number }): Attachment {
    for (const { stream, piece } of this.#output.pieces()) spectator.show(stream, piece);
    if (this.#exitCode === undefined) this.#spectators.add(spectator);
    else spectator.ended(this.#exitCode);
    this.#present += 1;
    this.#looked.resolve();
    let left = false;
    const feeds = this.#attended && !this.#options.tty;
    const attachment: Attachment = {
      type: async (bytes) => {
        await this.#started.promise;
        await this.#keys?.write(bytes);
      },
      resize: (columns, rows) => {
        this.#size = { columns, rows };
        this.#child?.resize(columns, rows);
        // Draws the screen anew, also where the size is the same.
        this.#child?.signal(constants.signals.SIGWINCH);
      },
      endInput: async () => {
        if (feeds) await this.#endInput();
      },
      leave: () => {
        if (left) return;
        left = true;
        this.#spectators.delete(spectator);
        this.#present -= 1;
        if (this.#present > 0) return;
        if (feeds) void this.#endInput();
        this.#attended = false;
        if (this.#exitCode !== undefined) this.#left.resolve();
      },
    };
    if (size !== undefined && this.#options.tty) attachment.resize(size.columns, size.rows);
    return attachment;
  }

  async #launch(): Promise<Child> {
    const { command, tty, box, workdir } = this.#options;
    const environment = this.#options.environment();
    if (tty) environment["TERM"] = "xterm-256color";
    const child = await box.launch({ argv: command, environment, workdir, stdio: tty ? this.#size : "pipe" });
    this.#child = child;
    // Somebody came while it started.
    if (tty) child.resize(this.#size.columns, this.#size.rows);
    const { stdio } = child;
    if (stdio === undefined) throw new Error("the main process has streams of its own");
    // Of a terminal, reader and writer each own a descriptor.
    if (tty) this.#keys = new DescriptorWriter(duplicate(stdio.stdin));
    else this.#keys = new DescriptorWriter(stdio.stdin);
    if (!this.#attended && !tty) await this.#keys.close();
    return child;
  }

  async #endInput(): Promise<void> {
    await this.#started.promise;
    await this.#keys?.close();
  }

  /** Somebody is there, or it is too late for that: then there is no input either. */
  async #firstLook(): Promise<void> {
    const looked = await Promise.race([this.#looked.promise.then(() => true), Bun.sleep(FIRST_LOOK_TIME).then(() => false)]);
    if (looked) return;
    this.#attended = false;
    if (!this.#options.tty) await this.#endInput();
  }

  async #showAll({ stdio }: Child): Promise<void> {
    if (stdio === undefined) return;
    if (this.#options.tty) await this.#show("stdout", readTerminal(stdio.stdout));
    else await Promise.allSettled([this.#show("stdout", readPipe(stdio.stdout)), this.#show("stderr", readPipe(stdio.stderr))]);
  }

  async #show(stream: OutputStream, source: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const piece of source) {
      // What the ring would lose waits for the one who is coming.
      this.#bytes += piece.length;
      if (this.#bytes > REPLAY_BYTES) await this.#waited;
      this.#output.push(stream, piece);
      this.#pieces += 1;
      if (!this.#options.tty) this.#log(stream, piece);
      await Promise.all([...this.#spectators].filter((spectator) => !spectator.show(stream, piece)).map((slow) => this.#waitFor(slow)));
    }
  }

  /** Whether nothing more is shown: the output has ended, or none has come for as long as output may still come. */
  async #isIdle(shown: Promise<unknown>): Promise<boolean> {
    const before = this.#pieces;
    const over = await Promise.race([shown.then(() => true), Bun.sleep(DRAIN_TIME).then(() => false)]);
    return over || (this.#pieces === before && this.#waiting === 0);
  }

  async #waitFor(spectator: Spectator): Promise<void> {
    if (this.#attended) {
      this.#waiting += 1;
      await spectator.drained();
      this.#waiting -= 1;
      return;
    }
    const waited = await Promise.race([spectator.drained().then(() => true), Bun.sleep(STALL_TIME).then(() => false)]);
    if (waited || !this.#spectators.delete(spectator)) return;
    spectator.dropped();
  }

  #log(stream: OutputStream, piece: Uint8Array): void {
    if (this.#logged > MAX_LOGGED_BYTES) return;
    if (this.#logged === 0) writeSync(process.stdout.fd, MAIN_OUTPUT_MARK);
    this.#logged += piece.length;
    const target = process[stream];
    target.write(piece);
    if (this.#logged > MAX_LOGGED_BYTES)
      target.write(`\nopenshell: ${MAX_LOGGED_BYTES} bytes of output are here, the rest is not written down\n`);
  }

  #notStarted(error: unknown): number {
    const { message, next, code } = OpenShellError.from(error);
    const text = `main process did not start: ${message}${next ? ` (${next})` : ""}`;
    this.#options.emit({ kind: "lifecycle", activity: "stop", time: Date.now(), severity: "high", message: text });
    const piece = Buffer.from(`openshell: ${text}\r\n`);
    this.#output.push("stderr", piece);
    for (const spectator of this.#spectators) spectator.show("stderr", piece);
    return code === "not_found" ? NOT_FOUND_EXIT_CODE : CANNOT_RUN_EXIT_CODE;
  }
}
