/** One installation of the compiled binary on the host of a test internet: its own state, configuration and gateway. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../eventually.ts";
import type { Finished, HostOptions, HostProgram, TestInternet } from "../internet/open.ts";
import { providePrograms } from "./programs.ts";

export const BINARY = process.env["OPENSHELL_TEST_BINARY"] ?? join(import.meta.dir, "../../dist/openshell");

/** A chunk as `sandbox draft -o json` prints it; only what the tests read. */
export interface DraftChunk {
  readonly id: string;
  readonly status: string;
  readonly rule_name: string;
  readonly proposed_rule: {
    readonly endpoints: readonly { host: string; port?: number; ports?: readonly number[] }[];
    readonly binaries: readonly { path: string }[];
  };
  readonly rationale: string;
}

export class Installation implements AsyncDisposable {
  readonly net: TestInternet;
  readonly directory: string;
  readonly env: Readonly<Record<string, string>>;
  #gateway: HostProgram | undefined;

  constructor(net: TestInternet, name = "installation") {
    this.net = net;
    this.directory = join(net.directory, name);
    mkdirSync(this.directory, { mode: 0o755 });
    this.env = {
      XDG_STATE_HOME: join(this.directory, "state"),
      XDG_CONFIG_HOME: join(this.directory, "config"),
      OPENSHELL_SYSTEM_GATEWAY_DIR: join(this.directory, "system"),
      NO_COLOR: "1",
    };
  }

  /** Starts `gateway serve` and waits for its ready line. */
  async startGateway(...flags: string[]): Promise<HostProgram> {
    this.#gateway = await this.net.spawnOnHost([BINARY, "gateway", "serve", ...flags], { env: this.env });
    await this.#gateway.waitForOutput(/gateway ready/);
    return this.#gateway;
  }

  get gateway(): HostProgram {
    if (this.#gateway === undefined) throw new Error("startGateway first");
    return this.#gateway;
  }

  /** Runs the CLI to its end, whatever its exit code. */
  cli(argv: readonly string[], options: HostOptions = {}): Promise<Finished> {
    return this.net.runOnHost([BINARY, ...argv], { ...options, env: { ...this.env, ...options.env } });
  }

  /** Runs the CLI; anything but exit code 0 is an error that shows all output. */
  async must(...argv: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.cli(argv);
    if (exitCode !== 0) throw new Error(`openshell ${argv.join(" ")}: exit ${exitCode}\n${stdout}${stderr}\n${await this.diagnosis()}`);
    return stdout;
  }

  async json<T>(...argv: string[]): Promise<T> {
    return JSON.parse(await this.must(...argv, "-o", "json")) as T;
  }

  /** Writes a policy file and gives its path. */
  policy(name: string, text: string): string {
    const path = join(this.directory, `${name}.yaml`);
    writeFileSync(path, text);
    return path;
  }

  /** Creates a sandbox with the policy text; returns when it is ready. */
  async create(name: string, policy: string, ...command: readonly string[]): Promise<void> {
    await this.must(
      "sandbox",
      "create",
      "--name",
      name,
      "--policy",
      this.policy(name, policy),
      ...(command.length > 0 ? ["--detach", "--", ...command] : []),
    );
    for (const directory of this.sandboxDirectories()) providePrograms(join(directory, "workspace"));
  }

  /** What the gateway keeps on disk for its sandboxes, one directory each. */
  sandboxDirectories(): string[] {
    const folder = join(this.directory, "state/openshell/sandboxes");
    return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  }

  exec(sandbox: string, ...argv: string[]): Promise<Finished> {
    return this.cli(["sandbox", "exec", "-n", sandbox, "--", ...argv]);
  }

  /** Pending chunks of a sandbox. */
  async drafts(sandbox: string): Promise<readonly DraftChunk[]> {
    const answer = await this.json<{ chunks: readonly DraftChunk[] } | readonly DraftChunk[]>("sandbox", "draft", sandbox);
    return "chunks" in answer ? answer.chunks : answer;
  }

  /** The pending chunk that proposes a place (`host` or `host:port`), as soon as there is one. */
  waitForDraft(sandbox: string, place: string, withinMs = 15_000): Promise<DraftChunk> {
    let last: readonly DraftChunk[] = [];
    return eventually(
      `a proposal for ${place}`,
      withinMs,
      async () => {
        last = await this.drafts(sandbox);
        return last.find(
          ({ status, proposed_rule }) => status === "pending" && proposed_rule.endpoints.some((endpoint) => isAt(endpoint, place)),
        );
      },
      async () => `chunks: ${JSON.stringify(last)}\n${await this.diagnosis()}`,
    );
  }

  /** Returns when the command lines of the host's processes satisfy the test. */
  async waitForProcesses(what: string, satisfied: (commandLines: readonly string[]) => boolean, withinMs = 10_000): Promise<void> {
    let lines: readonly string[] = [];
    await eventually(
      what,
      withinMs,
      async () => {
        lines = (await this.net.processes()).map(({ commandLine }) => commandLine);
        return satisfied(lines) || undefined;
      },
      async () => `running:\n${lines.join("\n")}\n${await this.diagnosis()}`,
    );
  }

  /** What a person would look at when something went wrong. */
  async diagnosis(): Promise<string> {
    const parts = [`gateway: ${this.#gateway?.stdout ?? ""}${this.#gateway?.stderr ?? ""}`];
    for (const path of new Bun.Glob("state/openshell/sandboxes/*/log/*.log").scanSync(this.directory)) {
      parts.push(`${path}: ${(await Bun.file(join(this.directory, path)).text()).slice(-4000)}`);
    }
    return parts.join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#gateway?.kill("SIGTERM").catch(() => undefined);
  }
}

function isAt({ host, port, ports }: { host: string; port?: number; ports?: readonly number[] }, place: string): boolean {
  return host === place || [...(ports ?? []), port].some((one) => `${host}:${one}` === place);
}

/** Why a test of the compiled binary cannot run; undefined when it can. */
export function missingBinary(): string | undefined {
  return existsSync(BINARY) ? undefined : "dist/openshell is missing: run 'bun run build'";
}
