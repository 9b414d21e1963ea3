/**
 * The test internet: two network namespaces that the test makes itself, joined by a veth, with no link to any real network. In one, the
 * *host*, run the programs under test; in the other every address of the world is local and answered by our servers.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../eventually.ts";
import { Channel, type ChannelEvent } from "./channel.ts";
import type { Zone } from "./dns/server.ts";
import type { HostProcess, StartRequest } from "./host.ts";
import type { Seen } from "./seen.ts";
import type { SshAccess } from "./servers/sshd.ts";
import { DEFAULT_ZONE } from "./topology.ts";

export interface TestInternetOptions {
  /** Names beyond `DEFAULT_ZONE`. */
  readonly zones?: Zone;
  /** Text of the host's /etc/hosts; the machine's own by default. */
  readonly hosts?: string;
}

export interface HostOptions {
  /** The whole environment, beside PATH, LANG and the authority that servers of the test internet are certified by. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdin?: string;
}

export interface Finished {
  /** 0..255, or 128 + signal. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program running on the host. */
export class HostProgram {
  stdout = "";
  stderr = "";
  /** Pid inside the host's pid namespace. */
  readonly pid: number;
  readonly exited: Promise<Finished>;
  readonly #channel: Channel;
  readonly #watchers = new Set<() => void>();
  #exit: Finished | undefined;

  constructor(channel: Channel, pid: number, early: readonly ChannelEvent[]) {
    this.#channel = channel;
    this.pid = pid;
    this.exited = new Promise((resolve) => {
      const receive = (message: ChannelEvent) => {
        if (message["pid"] !== pid) return;
        if (message.event === "output") {
          const text = Buffer.from(String(message["data"]), "base64").toString();
          if (message["stream"] === "stdout") this.stdout += text;
          else this.stderr += text;
        } else if (message.event === "exit") {
          const { code, signal } = message as unknown as { code: number | null; signal: string | null };
          const exitCode = code ?? 128 + (SIGNALS[signal ?? ""] ?? 0);
          this.#exit = { exitCode, stdout: this.stdout, stderr: this.stderr };
          resolve(this.#exit);
        }
        for (const watcher of this.#watchers) watcher();
      };
      for (const message of early) receive(message);
      channel.onEvent(receive);
    });
  }

  /** Resolves with the match as soon as the output holds one; rejects when the program ends without it. */
  waitForOutput(pattern: RegExp): Promise<RegExpMatchArray> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const match = `${this.stdout}\n${this.stderr}`.match(pattern);
        if (match !== null) resolve(match);
        else if (this.#exit !== undefined)
          reject(new Error(`ended with ${this.#exit.exitCode} before ${pattern}: ${this.stdout}${this.stderr}`));
        else return;
        this.#watchers.delete(look);
      };
      this.#watchers.add(look);
      look();
    });
  }

  write(text: string): Promise<void> {
    return this.#channel.call("write", { pid: this.pid, data: Buffer.from(text).toString("base64") });
  }

  closeInput(): Promise<void> {
    return this.#channel.call("closeInput", { pid: this.pid });
  }

  kill(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    return this.#channel.call("kill", { pid: this.pid, signal });
  }
}

const SIGNALS: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGABRT: 6, SIGKILL: 9, SIGSEGV: 11, SIGPIPE: 13, SIGTERM: 15 };

/** Programs of the tests close their connections at once. */
const QUIET_WITHIN_MS = 5000;

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface TestInternet extends AsyncDisposable {
  /** Scratch directory, the same path on the host and for the test; removed at the end, also when the test dies. */
  readonly directory: string;
  /** Certificate of the authority that every HTTPS server's certificate comes from. */
  readonly caFile: string;
  spawnOnHost(argv: readonly string[], options?: HostOptions): Promise<HostProgram>;
  runOnHost(argv: readonly string[], options?: HostOptions): Promise<Finished>;
  killOnHost(pid: number, signal: NodeJS.Signals): Promise<void>;
  /** Everything that runs on the host, the dead and reaped excluded. */
  processes(): Promise<readonly HostProcess[]>;
  /** Every namespace that a process of the host lives in or holds. */
  namespaces(): Promise<readonly string[]>;
  /** The host's mount table, one line of mountinfo each. */
  mounts(): Promise<readonly string[]>;
  addZones(zones: Zone): Promise<void>;
  /** Starts a PostgreSQL server on every address; `name`: what its certificate is for, null: it speaks no TLS. */
  startPostgres(port: number, name: string | null): Promise<void>;
  /** Starts an OpenSSH server on every IPv4 address; gives what a client needs to log in. */
  startSshd(port: number): Promise<SshAccess>;
  seen(): Promise<Seen>;
  /** The same, once every connection is over: what is seen after it is new. */
  seenWhenQuiet(): Promise<Seen>;
}

/** What the machine lacks for a test internet; undefined when nothing. Tests that are skipped say this. */
export function missingForTestInternet(): string | undefined {
  if (process.platform !== "linux") return "Linux is needed";
  if (process.getuid?.() !== 0) return "root is needed to make network namespaces";
  if (!existsSync("/proc/self/ns/net")) return "the kernel has no network namespaces";
  const probe = Bun.spawnSync({ cmd: [process.execPath, join(import.meta.dir, "start.ts"), "--probe"], stdout: "pipe", stderr: "pipe" });
  if (probe.exitCode !== 0) return `namespaces cannot be made here: ${probe.stderr.toString().trim().split("\n").at(-1)}`;
  return undefined;
}

/** Makes the two sides and starts the servers. */
export async function openTestInternet(options: TestInternetOptions = {}): Promise<TestInternet> {
  const directory = mkdtempSync(join(tmpdir(), "openshell-test-"));
  const settings = JSON.stringify({ hosts: options.hosts ?? null });
  const starter = Bun.spawn({
    cmd: [process.execPath, join(import.meta.dir, "start.ts"), directory, settings],
    cwd: join(import.meta.dir, "../.."),
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  try {
    await readyLine(starter.stdout);
  } catch (error) {
    starter.stdin.end();
    await starter.exited;
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
  const internet = await Channel.connect(join(directory, "internet.sock"));
  const host = await Channel.connect(join(directory, "host.sock"));
  await internet.call("zones", { ...DEFAULT_ZONE, ...options.zones });

  // Output may overtake the answer that names the process: keep what nobody has claimed yet.
  const claimed = new Set<unknown>();
  const unclaimed: ChannelEvent[] = [];
  host.onEvent((message) => {
    if (!claimed.has(message["pid"])) unclaimed.push(message);
  });

  const spawnOnHost = async (argv: readonly string[], given: HostOptions = {}): Promise<HostProgram> => {
    const env = { PATH, LANG: "C.UTF-8", HOME: directory, OPENSHELL_UPSTREAM_CA: join(directory, "ca.pem"), ...given.env };
    const pid = await host.call<number>("start", { argv, env, cwd: given.cwd ?? directory } satisfies StartRequest);
    claimed.add(pid);
    const program = new HostProgram(
      host,
      pid,
      unclaimed.filter((message) => message["pid"] === pid),
    );
    if (given.stdin !== undefined) {
      await program.write(given.stdin);
      await program.closeInput();
    }
    return program;
  };

  return {
    directory,
    caFile: join(directory, "ca.pem"),
    spawnOnHost,
    async runOnHost(argv, given = {}) {
      const program = await spawnOnHost(argv, { stdin: "", ...given });
      return program.exited;
    },
    killOnHost: (pid, signal) => host.call("kill", { pid, signal }),
    async processes() {
      await host.call("reap");
      return (await host.call<HostProcess[]>("processes")).filter(({ state }) => state !== "Z");
    },
    namespaces: () => host.call("namespaces"),
    mounts: () => host.call("mounts"),
    addZones: (zones) => internet.call("zones", zones),
    startPostgres: (port, name) => internet.call("postgres", { port, name }),
    startSshd: (port) => internet.call("sshd", { port }),
    seen: () => internet.call("seen"),
    seenWhenQuiet: () =>
      eventually("the end of every connection", QUIET_WITHIN_MS, async () => {
        const seen = await internet.call<Seen>("seen");
        return seen.open === 0 ? seen : undefined;
      }),
    async [Symbol.asyncDispose]() {
      host.close();
      internet.close();
      starter.stdin.end();
      await starter.exited;
    },
  };
}

async function readyLine(stdout: ReadableStream<Uint8Array>): Promise<void> {
  let text = "";
  const reader = stdout.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error("the test internet did not start; see the error above");
    text += new TextDecoder().decode(value);
    if (text.includes("ready\n")) return;
  }
}

/** The authority's certificate as text. */
export function caCertificate(net: TestInternet): string {
  return readFileSync(net.caFile, "utf8");
}
