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
  /** Keys, for a process with a terminal; others read nothing. */
  type(bytes: Uint8Array): Promise<void>;
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
}

/** The program that a sandbox is for. It runs whether anybody looks or not; who looks is shown the last of its output first. */
export class MainProcess {
  readonly #options: MainProcessOptions;
  readonly #output = new OutputRing(REPLAY_BYTES);
  readonly #spectators = new Set<Spectator>();
  #child: Child | undefined;
  #keys: DescriptorWriter | undefined;
  #exitCode: number | undefined;
  #logged = 0;

  constructor(options: MainProcessOptions) {
    this.#options = options;
  }

  /** Starts it and waits for its end. 0..255, 128 + signal, or what shells report for a program that cannot be run. */
  async run(): Promise<number> {
    const { command, emit } = this.#options;
    const name = command[0] ?? "";
    let code: number;
    try {
      const child = await this.#launch();
      const time = Date.now();
      emit({ kind: "process", activity: "launch", time, severity: "informational", name, pid: child.pid, commandLine: command.join(" ") });
      const shown = this.#showAll(child);
      code = await superviseChild(child, this.#options.box);
      await Promise.race([shown, Bun.sleep(DRAIN_TIME)]);
    } catch (error) {
      code = this.#notStarted(error);
    }
    emit({ kind: "process", activity: "terminate", time: Date.now(), severity: "informational", name, pid: 0, exitCode: code });
    this.#exitCode = code;
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
    const attachment: Attachment = {
      type: async (bytes) => this.#keys?.write(bytes),
      resize: (columns, rows) => {
        this.#child?.resize(columns, rows);
        // Draws the screen anew, also where the size is the same.
        this.#child?.signal(constants.signals.SIGWINCH);
      },
      leave: () => void this.#spectators.delete(spectator),
    };
    if (size !== undefined && this.#options.tty) attachment.resize(size.columns, size.rows);
    return attachment;
  }

  async #launch(): Promise<Child> {
    const { command, tty, box, workdir } = this.#options;
    const environment = this.#options.environment();
    if (tty) environment["TERM"] = "xterm-256color";
    const child = await box.launch({ argv: command, environment, workdir, stdio: tty ? DEFAULT_SIZE : "pipe" });
    this.#child = child;
    const { stdio } = child;
    if (stdio === undefined) throw new Error("the main process has streams of its own");
    // Of a terminal, reader and writer each own a descriptor.
    if (tty) this.#keys = new DescriptorWriter(duplicate(stdio.stdin));
    else await new DescriptorWriter(stdio.stdin).close();
    return child;
  }

  async #showAll({ stdio }: Child): Promise<void> {
    if (stdio === undefined) return;
    if (this.#options.tty) await this.#show("stdout", readTerminal(stdio.stdout));
    else await Promise.allSettled([this.#show("stdout", readPipe(stdio.stdout)), this.#show("stderr", readPipe(stdio.stderr))]);
  }

  async #show(stream: OutputStream, source: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const piece of source) {
      this.#output.push(stream, piece);
      if (!this.#options.tty) this.#log(stream, piece);
      await Promise.all([...this.#spectators].filter((spectator) => !spectator.show(stream, piece)).map((slow) => this.#waitFor(slow)));
    }
  }

  async #waitFor(spectator: Spectator): Promise<void> {
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
