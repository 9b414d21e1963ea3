/** Writes src/rpc/gen from proto/. With `--check` it writes nowhere and fails when the committed stubs differ. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const OUT = "src/rpc/gen";

function buf(...args: string[]): void {
  const { exitCode } = Bun.spawnSync({
    cmd: ["node_modules/@bufbuild/buf-linux-x64/bin/buf", ...args],
    stdout: "inherit",
    stderr: "inherit",
    env: { ...process.env, PATH: `${join(process.execPath, "..")}:${process.env["PATH"]}` },
  });
  if (exitCode !== 0) process.exit(exitCode);
}

if (process.argv.includes("--check")) {
  const scratch = mkdtempSync(join(tmpdir(), "openshell-stubs-"));
  try {
    buf("generate", "--output", scratch);
    const { exitCode, stdout } = Bun.spawnSync({ cmd: ["diff", "-r", OUT, join(scratch, OUT)] });
    if (exitCode !== 0) {
      console.error(`${OUT} differs from proto/: run 'bun run generate'\n${stdout.toString().slice(0, 2000)}`);
      process.exit(1);
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
} else {
  buf("generate");
}
