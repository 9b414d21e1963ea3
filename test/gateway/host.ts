/** A gateway of the compiled binary on loopback, in directories of its own, that a test may kill and start again on the same port. */
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { OpenShell } from "../../src/rpc/gen/openshell/v1/openshell_pb.ts";

export const BINARY = process.env["OPENSHELL_TEST_BINARY"] ?? join(import.meta.dir, "../../dist/openshell");
export const workspaceScope = { selection: { case: "workspace", value: "default" } } as const;

/** Why these tests cannot run here; undefined when they can. */
export function missingForGateway(): string | undefined {
  if (!existsSync(BINARY)) return "dist/openshell is missing: run 'bun run build'";
  if (process.getuid?.() !== 0) return "needs root";
  return undefined;
}

export interface Connected extends Disposable {
  readonly client: Client<typeof OpenShell>;
}

export class GatewayHost implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "openshell-gateway-"));
  /** Of the next start. */
  port: number;
  #process: Bun.Subprocess<"ignore", "pipe", "pipe"> | undefined;
  #tls = true;
  /** In front of the gateway's command line, as root. */
  prefix: readonly string[] = [];
  /** Everything that every gateway of this host wrote on stderr. */
  log = "";

  private constructor(
    port: number,
    /** Who runs the gateway and the command line: root, or an ordinary user by number. */
    readonly uid: number,
  ) {
    this.port = port;
    chownSync(this.directory, uid, uid);
  }

  static async open(uid = 0): Promise<GatewayHost> {
    return new GatewayHost(await freePort(), uid);
  }

  /** The compiled binary as the user of this host. */
  #command(...argv: string[]): string[] {
    const user = this.uid === 0 ? [] : ["/usr/bin/setpriv", `--reuid=${this.uid}`, `--regid=${this.uid}`, "--clear-groups"];
    return [...user, BINARY, ...argv];
  }

  get endpoint(): string {
    return `${this.#tls ? "https" : "http"}://127.0.0.1:${this.port}`;
  }

  get env(): Record<string, string> {
    return {
      PATH: process.env["PATH"] ?? "/usr/bin:/bin",
      HOME: this.directory,
      XDG_STATE_HOME: join(this.directory, "state"),
      XDG_CONFIG_HOME: join(this.directory, "config"),
      XDG_RUNTIME_DIR: this.directory,
      OPENSHELL_SYSTEM_GATEWAY_DIR: join(this.directory, "system"),
      NO_COLOR: "1",
    };
  }

  get sandboxesDirectory(): string {
    return join(this.directory, "state/openshell/sandboxes");
  }

  /** Starts `gateway serve` and returns when it says that it is ready. */
  async start(...flags: string[]): Promise<void> {
    this.#tls = !flags.includes("--disable-tls");
    const child = Bun.spawn({
      cmd: [...this.prefix, ...this.#command("gateway", "serve", "--port", String(this.port), ...flags)],
      cwd: "/",
      env: this.env,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#process = child;
    void collect(child.stderr, (text) => {
      this.log += text;
    });
    let said = "";
    const ready = Promise.withResolvers<void>();
    void collect(child.stdout, (text) => {
      said += text;
      if (said.includes("gateway ready")) ready.resolve();
    });
    void child.exited.then((code) => ready.reject(new Error(`the gateway ended with ${code}\n${this.log}`)));
    await ready.promise;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Ends the gateway by a signal and waits until it is gone. */
  async kill(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    this.#process?.kill(signal);
    await this.#process?.exited;
    this.#process = undefined;
  }

  /** One connection as the user whom the gateway registered; dispose it. */
  connect(): Connected {
    const mtls = join(this.directory, "config/openshell/gateways/openshell/mtls");
    const [ca, cert, key] = ["ca.crt", "tls.crt", "tls.key"].map((name) => (this.#tls ? readFileSync(join(mtls, name)) : undefined));
    const secure = { ca, cert, key, rejectUnauthorized: true } as const;
    const sessionManager = new Http2SessionManager(this.endpoint, {}, this.#tls ? secure : {});
    const client = createClient(OpenShell, createGrpcTransport({ baseUrl: this.endpoint, sessionManager }));
    return { client, [Symbol.dispose]: () => sessionManager.abort() };
  }

  /** Runs the command line as the user whom the gateway registered. */
  cli(...argv: string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
    return this.fed("", ...argv);
  }

  /** The same with something on its standard input. */
  async fed(input: string, ...argv: string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
    const stdin = input === "" ? "ignore" : new Blob([input]);
    const child = Bun.spawn({ cmd: this.#command(...argv), cwd: "/", env: this.env, stdin, stdout: "pipe", stderr: "pipe" });
    const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
    return { code, out, err };
  }

  /** The same, while it runs. */
  spawn(...argv: string[]): Bun.Subprocess<"ignore", "pipe", "pipe"> {
    return Bun.spawn({ cmd: this.#command(...argv), cwd: "/", env: this.env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  }

  /** Supervisors of this gateway's sandboxes, by sandbox id; every one found, also several of one sandbox. */
  supervisors(): { readonly id: string; readonly pid: number }[] {
    return readdirSync("/proc").flatMap((entry) => {
      if (!/^\d+$/.test(entry)) return [];
      const id = commandLine(entry).match(`sandbox\0run\0--spec\0${this.sandboxesDirectory}/([^/]+)/run/spec.json`)?.[1];
      return id === undefined ? [] : [{ id, pid: Number(entry) }];
    });
  }

  /** What a person would look at when something went wrong. */
  diagnosis(): string {
    const logs = this.sandboxDirectories().map((id) => {
      const directory = join(this.sandboxesDirectory, id, "log");
      const files = existsSync(directory) ? readdirSync(directory).filter((name) => name.endsWith(".log")) : [];
      return files.map((name) => `${id}/${name}: ${lifeOf(readFileSync(join(directory, name), "utf8"))}`).join("\n");
    });
    return [`gateway: ${this.log.slice(-3000)}`, ...logs].join("\n");
  }

  sandboxDirectories(): string[] {
    return existsSync(this.sandboxesDirectory) ? readdirSync(this.sandboxesDirectory) : [];
  }

  /** Deletes every sandbox, ends the gateway and removes its directories. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process !== undefined && this.#process.exitCode === null) {
      using connected = this.connect();
      const { sandboxes } = await connected.client.listSandboxes({ workspaceScope, pageSize: 1000 });
      await Promise.all(
        sandboxes.map(({ metadata }) => connected.client.deleteSandbox({ workspaceScope, name: metadata?.name ?? "", allowMissing: true })),
      );
    }
    await this.kill("SIGTERM");
    for (const { pid } of this.supervisors()) process.kill(pid, "SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

async function collect(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  for await (const chunk of stream) take(decoder.decode(chunk, { stream: true }));
}

/** A port that was free a moment ago: the gateway must come back on the same one. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((closed) => server.close(() => closed()));
  return port;
}

/** The end of a log without the lines of single connections, which hide what happened to the sandbox. */
function lifeOf(log: string): string {
  const lines = log.split("\n").filter((line) => !line.includes(" NET:"));
  return lines.join("\n").slice(-3000);
}
