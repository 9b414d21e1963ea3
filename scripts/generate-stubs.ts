/**
 * Writes src/rpc/gen from proto/, with each file's description as JSON (see src/rpc/described-file.ts). With `--check` it writes nowhere and
 * fails when the committed stubs differ.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import type { DescFile } from "@bufbuild/protobuf";

const OUT = "src/rpc/gen";

// Where imports of packages are found.
const scratch = mkdtempSync("node_modules/.stubs-");
try {
  buf("generate", "--output", scratch);
  const made = join(scratch, OUT);
  const stubs = readdirSync(made, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith("_pb.ts"));
  // All are read before one is changed: they import each other.
  const texts = await Promise.all(stubs.map(async (path) => [path, await withJson(made, path)] as const));
  for (const [path, text] of texts) writeFileSync(join(made, path), text);
  if (!process.argv.includes("--check")) {
    rmSync(OUT, { recursive: true, force: true });
    cpSync(made, OUT, { recursive: true });
  } else {
    const { exitCode, stdout } = Bun.spawnSync({ cmd: ["diff", "-r", OUT, made] });
    if (exitCode !== 0) {
      console.error(`${OUT} differs from proto/: run 'bun run generate'\n${stdout.toString().slice(0, 2000)}`);
      process.exitCode = 1;
    }
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

function buf(...args: string[]): void {
  const { exitCode } = Bun.spawnSync({
    cmd: ["node_modules/@bufbuild/buf-linux-x64/bin/buf", ...args],
    stdout: "inherit",
    stderr: "inherit",
    env: { ...process.env, PATH: `${join(process.execPath, "..")}:${process.env["PATH"]}` },
  });
  if (exitCode !== 0) process.exit(exitCode);
}

/** The stub with its description as the library reads it, in JSON. */
async function withJson(directory: string, path: string): Promise<string> {
  const module = (await import(resolve(directory, path))) as Record<string, unknown>;
  const file = Object.values(module).find((value) => (value as { kind?: unknown }).kind === "file") as DescFile | undefined;
  if (file === undefined) throw new Error(`${path} has no description`);
  const up = relative(join(path, ".."), ".");
  const json = JSON.stringify(JSON.stringify(plain(file.proto)));
  return readFileSync(join(directory, path), "utf8")
    .replace(/\bfileDesc\("[^"]*"/, () => `describedFile(${json}`)
    .replace(/^(import \{.*?)\bfileDesc, /m, "$1")
    .replace(
      /^import \{[^}]*\} from "@bufbuild\/protobuf\/codegenv2";$/m,
      `$&\nimport { describedFile } from "${join("..", up)}/described-file.ts";`,
    );
}

/** What is set in a message, without what describedFile adds again. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const set = Object.entries(value).filter(
    ([name, part]) => name !== "$typeName" && part !== undefined && !(Array.isArray(part) && part.length === 0),
  );
  return Object.fromEntries(set.map(([name, part]) => [name, plain(part)]));
}
