/** Real programs inside `sandbox run`, on the host of a test internet, with the certificates of that internet. */
import { existsSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { BINARY, Installation, missingBinary } from "../e2e/installation.ts";
import { type Finished, missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";

/** Where the sandbox finds its own authority; the variables of every tool lead there already. */
export const CA = "/etc/openshell-tls/ca-bundle.pem";

/** The executable of a program in the part of the machine that every sandbox shows; the reason when there is none. */
export function installed(name: string, ...paths: readonly string[]): { readonly path: string } | { readonly missing: string } {
  const found = paths.find((path) => existsSync(path));
  return found === undefined ? { missing: `${name} is not installed in /usr` } : { path: realpathSync(found) };
}

/** Why tests with these programs cannot run; undefined when they can. Says so once. */
export function missingFor(what: string, ...programs: readonly ReturnType<typeof installed>[]): string | undefined {
  const lacking = programs.find((program) => "missing" in program);
  const missing = missingForTestInternet() ?? missingBinary() ?? (lacking && "missing" in lacking ? lacking.missing : undefined);
  if (missing !== undefined) console.log(`skipped: ${what}: ${missing}`);
  return missing;
}

/** Only to be used where `missingFor` found nothing missing. */
export function pathOf(program: ReturnType<typeof installed>): string {
  if ("missing" in program) throw new Error(program.missing);
  return program.path;
}

/** One rule: these programs may reach these hosts. */
export interface Rule {
  readonly binaries: readonly string[];
  readonly endpoints: readonly string[];
  /** How their requests are decided: further fields of each endpoint, in YAML's flow style. Without it connections alone are decided. */
  readonly requests?: string;
}

export class Inside implements AsyncDisposable {
  readonly net: TestInternet;
  readonly shell: Installation;
  readonly #policy: string;
  readonly #flags: readonly string[];

  private constructor(net: TestInternet, rules: readonly Rule[], flags: readonly string[]) {
    this.net = net;
    this.shell = new Installation(net);
    const text = rules.map(
      ({ binaries, endpoints, requests }, index) => `  rule_${index}:
    endpoints: [${endpoints.map((endpoint) => `{ host: ${endpoint.replace(/:(\d+)$/, ", port: $1")}${requests === undefined ? "" : `, ${requests}`} }`).join(", ")}]
    binaries: [${binaries.map((path) => `{ path: ${path} }`).join(", ")}]
`,
    );
    this.#policy = this.shell.policy("clients", `version: 1\nnetwork_policies:\n${text.join("")}`);
    this.#flags = flags;
  }

  static async open(rules: readonly Rule[], flags: readonly string[] = []): Promise<Inside> {
    return new Inside(await openTestInternet(), rules, flags);
  }

  /** Runs a program in a sandbox of its own. */
  run(argv: readonly string[], flags: readonly string[] = [], stdin = ""): Promise<Finished> {
    const words = ["--policy", this.#policy, ...this.#flags, ...flags];
    return this.net.runOnHost([BINARY, "sandbox", "run", ...words, "--", ...argv], { stdin });
  }

  /** The same for a shell script. */
  script(text: string, flags: readonly string[] = []): Promise<Finished> {
    return this.run(["/bin/sh", "-ec", text], flags);
  }

  /** Runs something that must be refused: it fails, it says why on stderr, and nothing of it was seen on the wire or asked of DNS. */
  async refused(argv: readonly string[], flags: readonly string[] = []): Promise<Finished> {
    const before = await this.net.seenWhenQuiet();
    const finished = await this.run(argv, flags);
    const after = await this.net.seenWhenQuiet();
    if (finished.exitCode === 0) throw new Error(`${argv.join(" ")} was not refused: ${finished.stdout}${finished.stderr}`);
    if (JSON.stringify(after) !== JSON.stringify(before)) throw new Error(`${argv.join(" ")} was seen: ${JSON.stringify([before, after])}`);
    if (!/ DENIED /.test(finished.stderr)) throw new Error(`no denial was logged: ${finished.stderr}`);
    return finished;
  }

  /** A directory of the test, below what the servers serve. */
  place(...names: string[]): string {
    return join(this.net.directory, ...names);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shell[Symbol.asyncDispose]();
    await this.net[Symbol.asyncDispose]();
  }
}
