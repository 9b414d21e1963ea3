/** A model's server beside a sandbox, and programs that ask it from inside. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { HostProgram, TestInternet } from "../internet/open.ts";

/** What the model's server has seen of a request. */
export interface SeenQuestion {
  readonly method: string;
  readonly path: string;
  readonly authorization?: string;
  readonly key?: string;
  readonly cookie?: string;
  readonly body: string;
}

export class ModelServer implements AsyncDisposable {
  readonly #program: HostProgram;
  readonly port: number;

  private constructor(program: HostProgram, port: number) {
    this.#program = program;
    this.port = port;
  }

  static async start(net: TestInternet): Promise<ModelServer> {
    const program = await net.spawnOnHost([process.execPath, join(import.meta.dir, "model-server.ts")]);
    const [, port] = await program.waitForOutput(/listening (\d+)/);
    return new ModelServer(program, Number(port));
  }

  /** As routes and providers take it. */
  get url(): string {
    return `http://127.0.0.1:${this.port}/v1`;
  }

  get seen(): readonly SeenQuestion[] {
    const lines = this.#program.stdout.split("\n").filter((line) => line.startsWith("{"));
    return lines.map((line) => JSON.parse(line) as SeenQuestion);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program.kill();
    await this.#program.exited;
  }
}

/** A program of this folder with all it imports, in one file that Node runs. */
export async function bundled(net: TestInternet, name: string): Promise<string> {
  const built = await Bun.build({ entrypoints: [join(import.meta.dir, `${name}.ts`)], target: "node", format: "cjs" });
  const [output] = built.outputs;
  if (output === undefined) throw new Error(`${name} was not bundled: ${built.logs.join("\n")}`);
  // Its own directory: the sandbox's user cannot enter the other.
  const folder = join(net.directory, "bundled");
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const path = join(folder, `${name}.cjs`);
  writeFileSync(path, await output.text());
  chmodSync(path, 0o644);
  return path;
}

/** A file of routes as `--inference-routes` takes it. */
export function routesFile(net: TestInternet, text: string, mode = 0o600): string {
  const path = join(net.directory, `routes-${crypto.randomUUID()}.yaml`);
  writeFileSync(path, text, { mode });
  chmodSync(path, mode);
  return path;
}
