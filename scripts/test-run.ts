/** One run of `bun test`, its output shown as it comes and the part about each failure kept. */
import { existsSync, readFileSync, rmSync } from "node:fs";

export interface TestRun {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Test files with a failure, as `bun test` takes them. */
  readonly failedFiles: readonly string[];
  /** What was printed about each failed test, with its file. */
  readonly failures: readonly string[];
}

/** Lines of output before a failed test's line that are kept: its error and the code around it. */
const CONTEXT_LINES = 40;

/** Milliseconds for one test. */
const TIMEOUT = 60_000;

/** Runs the tests below `paths`; `report` is a file that may be overwritten. */
export async function runTests(paths: readonly string[], report: string): Promise<TestRun> {
  const args = ["test", ...paths, "--reporter=junit", `--reporter-outfile=${report}`, `--timeout=${TIMEOUT}`];
  rmSync(report, { force: true });
  console.log(`$ bun ${args.join(" ")}`);
  const child = Bun.spawn({ cmd: [process.execPath, ...args], stdin: "ignore", stdout: "inherit", stderr: "pipe" });
  const failures = await watchFailures(child.stderr);
  const ok = (await child.exited) === 0;
  const text = existsSync(report) ? readFileSync(report, "utf8") : "";
  const [tests, failed, skipped] = ["tests", "failures", "skipped"].map((name) => count(text, name)) as [number, number, number];
  return {
    passed: tests - failed - skipped,
    // A run that died, or failed outside a test, must not pass for a good one.
    failed: ok ? failed : Math.max(failed, 1),
    skipped,
    failedFiles: failedFiles(text),
    failures,
  };
}

async function watchFailures(output: ReadableStream<Uint8Array>): Promise<string[]> {
  const failures: string[] = [];
  const decoder = new TextDecoder();
  let file = "";
  let block: string[] = [];
  let partial = "";
  let repeated = false;
  for await (const chunk of output) {
    process.stderr.write(chunk);
    const lines = (partial + decoder.decode(chunk, { stream: true })).split("\n");
    partial = lines.pop() ?? "";
    for (const line of lines) {
      // The runner repeats the failures at its end.
      if (/^\d+ tests? failed:$/.test(line)) repeated = true;
      if (/^\S+\.test\.ts:$/.test(line)) file = line;
      block.push(line);
      if (line.startsWith("(fail)") && !repeated) failures.push([file, ...block.slice(-CONTEXT_LINES)].join("\n"));
      if (/^\((pass|fail|skip|todo)\)/.test(line)) block = [];
    }
  }
  return failures;
}

/** The counts of a JUnit report's root element. */
function count(report: string, attribute: string): number {
  return Number(report.match(new RegExp(`<testsuites[^>]* ${attribute}="(\\d+)"`))?.[1] ?? 0);
}

function failedFiles(report: string): string[] {
  const suites = [...report.matchAll(/<testsuite [^>]*>/g)].map(([tag]) => tag).filter((tag) => !/ failures="0"/.test(tag));
  return [...new Set(suites.map((tag) => tag.match(/ file="([^"]+)"/)?.[1] ?? "").filter((file) => file !== ""))];
}
