/**
 * Builds policies/policy.wasm and policies/manifest.json from the rego sources. With `--check` it writes nothing and fails when the
 * committed files do not belong to the sources. Without `opa` the check compares the hashes of the manifest alone, so that nobody needs the
 * tool to build the product. The tool is looked for in `OPA`, on PATH, and in `../shared/tools`.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const FOLDER = resolve(import.meta.dir, "../policies");
const WASM = join(FOLDER, "policy.wasm");
const MANIFEST = join(FOLDER, "manifest.json");
/** Entry points, in the order that gives them their ids. */
const ENTRYPOINTS = ["openshell/decision", "openshell/index", "openshell/request"];

interface Manifest {
  readonly opa: string;
  readonly arguments: readonly string[];
  /** SHA-256 of every source and of the wasm. */
  readonly sources: Readonly<Record<string, string>>;
  readonly wasm: string;
}

const sha256 = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");

/** Files are named one by one: every YAML or JSON file of a folder would be taken as data. */
const rego = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".rego"))
  .sort();
const sources = rego.filter((name) => !name.endsWith("_test.rego"));
const tests = rego.filter((name) => name.endsWith("_test.rego"));

function findOpa(): string | undefined {
  const shared = resolve(FOLDER, "../../shared/tools/opa");
  return process.env["OPA"] || Bun.which("opa") || (existsSync(shared) ? shared : undefined);
}

function opa(tool: string, ...args: string[]): string {
  // The bytes of the wasm depend on the working directory and on this variable.
  const { EXPERIMENTAL_WASM_OPT: _, ...env } = process.env;
  const { exitCode, stdout, stderr } = Bun.spawnSync({ cmd: [tool, ...args], cwd: FOLDER, env });
  if (exitCode !== 0) fail(`opa ${args[0]} failed\n${stdout}${stderr}`);
  return stdout.toString();
}

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}

function buildArguments(): string[] {
  return ["build", "-t", "wasm", ...ENTRYPOINTS.flatMap((name) => ["-e", name]), ...sources];
}

function build(tool: string, scratch: string): Manifest & { bytes: Buffer } {
  opa(tool, "check", "--strict", ...sources, ...tests);
  opa(tool, "test", ...sources, ...tests);
  const bundle = join(scratch, "bundle.tar.gz");
  const [command = "", ...rest] = buildArguments();
  opa(tool, command, "-o", bundle, ...rest);
  const wasm = join(scratch, "policy.wasm");
  const { exitCode, stdout } = Bun.spawnSync({ cmd: ["tar", "xOzf", bundle, "/policy.wasm"] });
  if (exitCode !== 0) fail("the bundle holds no policy.wasm");
  writeFileSync(wasm, stdout);
  return { ...describe(sha256(wasm), /^Version: (.*)$/m.exec(opa(tool, "version"))?.[1] ?? "unknown"), bytes: stdout };
}

function describe(wasm: string, version: string): Manifest {
  const hashes = Object.fromEntries(sources.map((name) => [name, sha256(join(FOLDER, name))]));
  return { opa: version, arguments: buildArguments(), sources: hashes, wasm };
}

const text = ({ opa, arguments: args, sources, wasm }: Manifest) => `${JSON.stringify({ opa, arguments: args, sources, wasm }, null, 2)}\n`;

function check(tool: string | undefined): void {
  const committed = readFileSync(MANIFEST, "utf8");
  const version = (JSON.parse(committed) as Manifest).opa;
  if (committed !== text(describe(sha256(WASM), version)))
    fail("policies/policy.wasm does not belong to its sources: run 'bun scripts/build-rego.ts'");
  if (tool === undefined) {
    console.log("policies/manifest.json agrees with the files (no opa here: not rebuilt, rego tests not run)");
    return;
  }
  const scratch = mkdtempSync(join(tmpdir(), "openshell-rego-"));
  try {
    const built = build(tool, scratch);
    if (built.opa !== version) console.log(`opa is ${built.opa}, policy.wasm was built by ${version}: bytes not compared`);
    else if (built.wasm !== sha256(WASM)) fail("policies/policy.wasm differs from a fresh build: run 'bun scripts/build-rego.ts'");
    console.log("policies/policy.wasm belongs to its sources; rego tests pass");
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const tool = findOpa();
if (process.argv.includes("--check")) check(tool);
else if (tool === undefined) fail("opa is needed to build the rules: install it, or set OPA to its path");
else {
  const scratch = mkdtempSync(join(tmpdir(), "openshell-rego-"));
  try {
    const built = build(tool, scratch);
    writeFileSync(WASM, built.bytes);
    writeFileSync(MANIFEST, text(built));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
