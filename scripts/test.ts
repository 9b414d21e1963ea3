/**
 * `bun run test`: installs what the lock file says, builds, runs every test, and ends with `N passed, N failed, N skipped` on its own line.
 * With `--checks` the linter, the type check, the layering check and the generated-files checks run too; each counts as a test.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

const total: Tally = { passed: 0, failed: 0, skipped: 0 };

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
  if (run(...args)) total.passed += 1;
  else total.failed += 1;
}

/** The counts of a JUnit report's root element. */
function count(report: string, attribute: string): number {
  return Number(report.match(new RegExp(`<testsuites[^>]* ${attribute}="(\\d+)"`))?.[1] ?? 0);
}

function test(folder: string, report: string): void {
  const ok = run("test", folder, "--reporter=junit", `--reporter-outfile=${report}`, "--timeout=60000");
  const text = existsSync(report) ? readFileSync(report, "utf8") : "";
  const [tests, failed, skipped] = ["tests", "failures", "skipped"].map((name) => count(text, name)) as [number, number, number];
  total.passed += tests - failed - skipped;
  total.skipped += skipped;
  // A run that died, or failed outside a test, must not pass for a good one.
  total.failed += ok ? failed : Math.max(failed, 1);
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
  for (const folder of ["./src", "./test"]) test(folder, join(scratch, "report.xml"));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
finish();
