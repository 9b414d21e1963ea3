/** A person at a terminal: the program has one of its own inside, with size, Ctrl-C, and an end when the person's goes away. */
import { afterAll, describe, expect, test } from "bun:test";
import { BINARY } from "../e2e/installation.ts";
import { eventually } from "../eventually.ts";
import { missingForRun, Runs, SYSTEM_PATH } from "./harness.ts";

const missing = missingForRun();
if (missing !== undefined) console.log(`skipped: terminal of sandbox run: ${missing}`);

/** `sandbox run` on a pseudo-terminal that the test holds. */
class Session {
  output = "";
  readonly program: Bun.Subprocess;

  constructor(words: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.program = Bun.spawn({
      cmd: [BINARY, "sandbox", "run", ...words],
      cwd: "/",
      env: { PATH: SYSTEM_PATH, TERM: "xterm", PS1: "% ", NO_COLOR: "1", ...env },
      terminal: {
        cols: 91,
        rows: 33,
        data: (_terminal, data) => this.receive(data),
      },
    });
  }

  receive(data: Uint8Array): void {
    this.output += Buffer.from(data).toString();
  }

  get terminal(): Bun.Terminal {
    const { terminal } = this.program;
    if (terminal === undefined) throw new Error("no terminal");
    return terminal;
  }

  /** Types a line. */
  type(text: string): void {
    this.terminal.write(`${text}\r`);
  }

  shows(pattern: RegExp): Promise<RegExpMatchArray> {
    return eventually(
      `${pattern} on the terminal`,
      10_000,
      async () => this.output.match(pattern) ?? undefined,
      async () => this.output,
    );
  }
}

describe.skipIf(missing !== undefined)("sandbox run: terminal", () => {
  const runs = new Runs();
  afterAll(() => runs[Symbol.dispose]());
  const open = (...command: string[]) => new Session(["--policy", runs.closed, "--", ...command]);

  test("it has the person's size, follows it, and is one of the box's own", async () => {
    const session = open("/bin/sh");
    session.type("stty size; tty; echo first");
    await session.shows(/33 91\r\n\/dev\/pts\/0\r\nfirst\r/);
    session.terminal.resize(120, 40);
    session.type("until stty size | grep '40 120'; do sleep 0.05; done");
    await session.shows(/\n40 120\r/);
    session.type("exit 7");
    expect(await session.program.exited).toBe(7);
  });

  test("a program is told of a new size", async () => {
    const session = open("/bin/sh", "-c", "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done");
    await session.shows(/ready/);
    session.terminal.resize(77, 22);
    await session.shows(/22 77/);
    expect(await session.program.exited).toBe(0);
  });

  test("Ctrl-C ends the program in front, not the shell, and never the supervisor", async () => {
    const session = open("/bin/sh");
    session.type("echo st''arted; sleep 86438");
    await session.shows(/started/);
    session.terminal.write("\x03");
    session.type("echo code $?");
    await session.shows(/code 130/);
    session.type("exit 0");
    expect(await session.program.exited).toBe(0);
  });

  test("Ctrl-Z and job control work, Ctrl-D ends the shell", async () => {
    const session = open("/bin/sh", "-i");
    session.type(`sh -c "echo in-fr''ont; exec sleep 86439"`);
    await session.shows(/in-front/);
    session.terminal.write("\x1a");
    await session.shows(/[Ss]topped/);
    session.type("kill %1; echo go''ne");
    await session.shows(/gone/);
    session.terminal.write("\x04");
    session.terminal.write("\x04");
    await session.program.exited;
  });

  test("what it leaves in the background does not keep us", async () => {
    const session = open("/bin/sh", "-c", "trap '' HUP; sleep 86440 & echo bye; exit 9");
    expect(await session.program.exited).toBe(9);
    expect(session.output).toContain("bye");
  });

  test("a terminal that goes away hangs up on it", async () => {
    const session = open("/bin/sh", "-c", "echo up; exec sleep 86441");
    await session.shows(/up/);
    session.terminal.close();
    // 128 + SIGHUP, whether as the program's end or as our own.
    expect(await session.program.exited).toBe(129);
  });

  test("the terminal is as it was when the program has ended", async () => {
    const session = new Session([], {});
    await session.program.exited;
    const shell = Bun.spawn({
      cmd: [
        "/bin/sh",
        "-c",
        `before=$(stty -g); ${BINARY} sandbox run --policy ${runs.closed} -- stty raw -echo; [ "$before" = "$(stty -g)" ] && echo same`,
      ],
      cwd: "/",
      env: { PATH: SYSTEM_PATH, TERM: "xterm" },
      terminal: { cols: 80, rows: 24, data: (_terminal, data) => session.receive(data) },
    });
    await shell.exited;
    await session.shows(/same/);
  });

  test("bytes pass unchanged in both directions, line feeds without a return too", async () => {
    const session = open("/bin/sh", "-c", "stty raw -echo; printf 'a\\nb\\tc|'; head -c 4 | od -An -tx1");
    await session.shows(/a\nb\tc\|/);
    session.terminal.write("\r\n\x11\x13");
    await session.shows(/0d 0a 11 13/);
    await session.program.exited;
  });

  test("with a redirected output it has no terminal: TERM stays, colours and prompts do not come", async () => {
    const session = new Session([
      "--policy",
      runs.closed,
      "--",
      "/bin/sh",
      "-c",
      "test -t 1 && echo terminal-out; test -t 0 && echo terminal-in; exit 0",
    ]);
    await session.shows(/terminal-out\r\nterminal-in/);
    await session.program.exited;
    const { stdout } = await runs.shell("test -t 0 || test -t 1 || test -t 2 || echo none");
    expect(stdout).toBe("none\n");
  });
});
