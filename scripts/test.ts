/**
 * `bun run test`: installs what the lock file says, builds, runs every test, and ends with `N passed, N failed, N skipped` on its own line.
 * With `--checks` the linter, the type check, the layering check and the generated-files checks run too; each counts as a test.
 *
 * A file with a failure is run once more, alone: what passes then is counted as passed and named as unsteady, what fails again has failed.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runTests } from "./test-run.ts";

const total = { passed: 0, failed: 0, skipped: 0 };

function run(...args: string[]): boolean {
  console.log(`$ bun ${args.join(" ")}`);
  return Bun.spawnSync({ cmd: [process.execPath, ...args], stdin: "ignore", stdout: "inherit", stderr: "inherit" }).exitCode === 0;
}

function finish(): never {
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  process.exit(total.failed === 0 ? 0 : 1);
}

/** A step without which nothing else makes sense. */
function must(...args: string[]): void {
  if (run(...args)) return;
  console.error(`'bun ${args.join(" ")}' failed; nothing was tested`);
  total.failed += 1;
  finish();
}

function check(...args: string[]): void {
  if (run(...args)) {
    total.passed += 1;
    return;
  }
  total.failed += 1;
  notes.push(`failed: bun ${args.join(" ")}`);
}

/** What is said before the last line. */
const notes: string[] = [];

async function test(folder: string, report: string): Promise<void> {
  const first = await runTests([folder], report);
  total.passed += first.passed;
  total.skipped += first.skipped;
  if (first.failed === 0) return;
  const again = first.failedFiles.length === 0 ? undefined : await runTests(first.failedFiles, report);
  const lasting = again === undefined ? first.failed : Math.min(again.failed, first.failed);
  total.failed += lasting;
  total.passed += first.failed - lasting;
  notes.push(...first.failures.map((failure) => `failed in the first run: ${failure}`));
  if (again !== undefined) notes.push(...again.failures.map((failure) => `failed again, alone: ${failure}`));
  if (lasting < first.failed) notes.push(`${first.failed - lasting} unsteady: failed among all, passed alone`);
}

must("install", "--frozen-lockfile");
must("scripts/build.ts");
if (process.argv.includes("--checks")) {
  check("run", "check:lint");
  check("run", "check:types");
  check("run", "check:layers");
  check("run", "check:generated");
}
const scratch = mkdtempSync(join(tmpdir(), "openshell-report-"));
try {
  for (const folder of ["./src", "./test"]) await test(folder, join(scratch, "report.xml"));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
for (const note of notes) console.log(note);
finish();
