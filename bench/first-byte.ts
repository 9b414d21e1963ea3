/** How long a program takes to its first byte of output under a terminal, and what it says in the end. */
export interface Begun {
  /** From the start to the first output that holds `text`. */
  readonly milliseconds: number;
  /** Ends it; resolves when it has ended. */
  stop(): Promise<void>;
}

/** Starts `argv` on a terminal of its own, since that is how a person sees the main process. Rejects when it ends without the text. */
export async function untilOutput(argv: readonly string[], text: string, env: Readonly<Record<string, string>>): Promise<Begun> {
  const started = performance.now();
  const child = Bun.spawn({
    cmd: ["script", "-qefc", argv.map(quoted).join(" "), "/dev/null"],
    cwd: "/",
    env,
    stdin: "pipe",
    stdout: "pipe",
    stderr: "ignore",
  });
  const stop = async () => {
    child.kill("SIGKILL");
    await child.exited;
  };
  let said = "";
  for await (const piece of child.stdout) {
    said += Buffer.from(piece).toString();
    // On a line of its own: the terminal may show the command itself as well.
    if (said.includes(`${text}\r`)) return { milliseconds: performance.now() - started, stop };
  }
  await stop();
  throw new Error(`${argv.slice(0, 3).join(" ")} ended without '${text}': ${said.trim().slice(-300)}`);
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
