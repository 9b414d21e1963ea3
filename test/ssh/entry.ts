/** A gateway with one sandbox, and the programs of a person's machine that enter it. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../eventually.ts";
import { BINARY, GatewayHost, missingForGateway } from "../gateway/host.ts";

export const SANDBOX = "work";
export const HOST = "openshell-work";

export interface Ran {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Why these tests cannot run here; undefined when they can. */
export function missingForSsh(...programs: readonly string[]): string | undefined {
  return (
    missingForGateway() ??
    programs.map((program) => (Bun.which(program) === null ? `${program} is not installed` : undefined)).find(Boolean)
  );
}

export class Entry implements AsyncDisposable {
  readonly gateway: GatewayHost;
  readonly config: string;
  /** A directory of the person's. */
  readonly files: string;

  private constructor(gateway: GatewayHost) {
    this.gateway = gateway;
    this.config = join(gateway.directory, "ssh.conf");
    this.files = join(gateway.directory, "files");
  }

  static async open(): Promise<Entry> {
    const gateway = await GatewayHost.open();
    const entry = new Entry(gateway);
    mkdirSync(entry.files);
    await gateway.start();
    await entry.must(BINARY, "sandbox", "create", "--name", SANDBOX);
    writeFileSync(entry.config, await entry.must(BINARY, "sandbox", "ssh-config", SANDBOX));
    return entry;
  }

  /** Runs a program of this machine to its end. */
  async run(argv: readonly string[], stdin: string | Uint8Array = ""): Promise<Ran> {
    const child = Bun.spawn({
      cmd: [...argv],
      cwd: this.files,
      env: this.gateway.env,
      stdin: Buffer.from(stdin as string),
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr, exitCode] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { exitCode, stdout, stderr };
  }

  /** The same; anything but exit code 0 is an error that shows all output. */
  async must(...argv: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(argv);
    if (exitCode !== 0) throw new Error(`${argv.join(" ")}: exit ${exitCode}\n${stdout}${stderr}\n${this.gateway.diagnosis()}`);
    return stdout;
  }

  /** `openshell ARGUMENTS` */
  cli(...argv: string[]): Promise<Ran> {
    return this.run([BINARY, ...argv]);
  }

  ssh(...words: string[]): Promise<Ran> {
    return this.run(["ssh", "-F", this.config, HOST, ...words]);
  }

  /** A command in the sandbox, by ssh; its output without the last line feed. */
  async inside(command: string): Promise<string> {
    return (await this.must("ssh", "-F", this.config, HOST, command)).replace(/\n$/, "");
  }

  /** Starts ssh with a terminal of its own. */
  terminal(...argv: string[]): Screen {
    return new Screen(argv, this.gateway.env);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gateway[Symbol.asyncDispose]();
  }
}

/** A program on a terminal: what it showed, and keys for it. */
export class Screen {
  readonly #child: Bun.Subprocess;
  text = "";

  constructor(argv: readonly string[], env: Record<string, string>) {
    const decoder = new TextDecoder();
    this.#child = Bun.spawn({
      cmd: [...argv],
      env: { ...env, TERM: "xterm" },
      terminal: {
        cols: 100,
        rows: 30,
        data: (_, data) => {
          this.text += decoder.decode(data, { stream: true });
        },
      },
    });
  }

  type(keys: string): void {
    this.#child.terminal?.write(keys);
  }

  resize(columns: number, rows: number): void {
    this.#child.terminal?.resize(columns, rows);
  }

  /** Returns when it shows this. */
  async shows(what: RegExp): Promise<void> {
    await eventually(
      String(what),
      20_000,
      async () => (what.test(this.text) ? true : undefined),
      async () => JSON.stringify(this.text),
    );
  }

  async exited(): Promise<number> {
    const code = await this.#child.exited;
    this.#child.terminal?.close();
    return code;
  }

  /** The person closes the window. */
  close(): void {
    this.#child.kill("SIGKILL");
    this.#child.terminal?.close();
  }
}

export function exists(path: string): boolean {
  return existsSync(path);
}
