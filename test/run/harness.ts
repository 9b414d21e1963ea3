/** `openshell sandbox run`, started as a person would: the compiled binary, with an environment that the test knows. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BINARY, missingBinary } from "../e2e/installation.ts";

/** Why these tests cannot run; undefined when they can. */
export function missingForRun(): string | undefined {
  if (process.platform !== "linux") return "Linux is needed";
  if (process.getuid?.() !== 0) return "root is needed";
  return missingBinary();
}

export const SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin";

/** A policy without network, so that the machine's own /etc/openshell never matters. */
export const CLOSED = "version: 1\n";

export interface RunOptions {
  /** The whole environment, beside PATH. */
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: Uint8Array | string;
  readonly cwd?: string;
}

export interface Ended {
  /** 0..255, or 128 + signal when the supervisor itself was killed. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Scratch files of one test file, and sandboxes that use them. */
export class Runs implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "openshell-run-"));
  readonly closed = this.file("closed.yaml", CLOSED);

  file(name: string, text: string, mode = 0o644): string {
    const path = join(this.directory, name);
    writeFileSync(path, text, { mode });
    return path;
  }

  /** Starts `sandbox run` with these words, nothing added. */
  start(words: readonly string[], options: RunOptions = {}) {
    return Bun.spawn({
      cmd: [BINARY, "sandbox", "run", ...words],
      cwd: options.cwd ?? "/",
      env: { PATH: SYSTEM_PATH, NO_COLOR: "1", ...options.env },
      stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
      stdout: "pipe",
      stderr: "pipe",
    });
  }

  /** Runs it to its end. */
  async words(words: readonly string[], options: RunOptions = {}): Promise<Ended> {
    const program = this.start(words, options);
    const [stdout, stderr, exitCode] = await Promise.all([
      new Response(program.stdout).text(),
      new Response(program.stderr).text(),
      program.exited,
    ]);
    return { exitCode, stdout, stderr };
  }

  /** Runs a command under the closed policy, after these flags. */
  run(flags: readonly string[], command: readonly string[], options: RunOptions = {}): Promise<Ended> {
    return this.words(["--policy", this.closed, ...flags, "--", ...command], options);
  }

  /** A shell script under the closed policy. */
  shell(script: string, flags: readonly string[] = [], options: RunOptions = {}): Promise<Ended> {
    return this.run(flags, ["/bin/sh", "-c", script], options);
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Reads a stream until it holds a match. */
export async function until(stream: ReadableStream<Uint8Array>, pattern: RegExp): Promise<string> {
  let text = "";
  const reader = stream.getReader();
  try {
    while (!pattern.test(text)) {
      const { done, value } = await reader.read();
      if (done) throw new Error(`ended before ${pattern}: ${text}`);
      text += Buffer.from(value).toString();
    }
    return text;
  } finally {
    reader.releaseLock();
  }
}
