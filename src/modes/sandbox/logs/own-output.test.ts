import { expect, test } from "bun:test";
import { mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MAIN_OUTPUT_MARK } from "../../../supervisor-spec.ts";

const SCRIPT = `
const { rotateOwnOutput } = await import(${JSON.stringify(join(import.meta.dir, "own-output.ts"))});
const path = process.argv[1];
for (let round = 0; round < 50; round += 1) {
  process.stdout.write(String(round).padStart(99) + "\\n");
  process.stderr.write("E".repeat(99) + "\\n");
  rotateOwnOutput(path, 1000);
}
rotateOwnOutput("/dev/null/elsewhere", 0);
process.stdout.write("the end\\n");
`;

test("what a supervisor writes fills two files of a limited size, and goes on in the first", async () => {
  const directory = mkdtempSync(join(tmpdir(), "own-output-"));
  try {
    const path = join(directory, "supervisor.log");
    const file = openSync(path, "a");
    const child = Bun.spawn({ cmd: [process.execPath, "-e", SCRIPT, path], stdio: ["ignore", file, file] });
    expect(await child.exited).toBe(0);
    expect(readdirSync(directory).sort()).toEqual(["supervisor.log", "supervisor.log.1"]);
    for (const name of readdirSync(directory)) expect(statSync(join(directory, name)).size).toBeLessThan(1300);
    const last = readFileSync(path, "utf8");
    expect(last).toStartWith(MAIN_OUTPUT_MARK);
    expect(last).toEndWith("the end\n");
    expect(last + readFileSync(`${path}.1`, "utf8")).toContain(`${"49".padStart(99)}\n`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
