/** The program as a person first meets it. */
import { describe, expect, test } from "bun:test";
import manifest from "../../package.json" with { type: "json" };
import { BINARY, missingBinary } from "./installation.ts";

const missing = missingBinary();
if (missing !== undefined) console.log(`skipped: the program: ${missing}`);

describe.skipIf(missing !== undefined)("the program", () => {
  function openshell(...argv: string[]) {
    const { exitCode, stdout, stderr } = Bun.spawnSync({
      cmd: [BINARY, ...argv],
      cwd: "/",
      env: { NO_COLOR: "1" },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
  }

  test("--version is the manifest's", () => {
    expect(openshell("--version")).toEqual({ exitCode: 0, stdout: `openshell ${manifest.version}\n`, stderr: "" });
  });

  test("--help has examples, for the root and for every command of the first steps", () => {
    for (const command of [
      [],
      ["gateway", "serve"],
      ["sandbox", "create"],
      ["sandbox", "exec"],
      ["sandbox", "draft"],
      ["sandbox", "run"],
      ["policy", "set"],
      ["logs"],
    ]) {
      const { exitCode, stdout } = openshell(...command, "--help");
      expect({ command, exitCode }).toEqual({ command, exitCode: 0 });
      expect(stdout).toContain("Examples:");
    }
  });
});
