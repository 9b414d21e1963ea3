/** What a program leaves in a mounted directory for the tools of the person whose directory it is. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BINARY, Installation, missingBinary } from "../e2e/installation.ts";
import { missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";

const missing = missingForTestInternet() ?? missingBinary();
if (missing !== undefined) console.log(`skipped: tool configuration: ${missing}`);

describe.skipIf(missing !== undefined)("threat-15 in a mounted directory", () => {
  let net: TestInternet;
  let shell: Installation;
  let project: string;
  beforeAll(async () => {
    net = await openTestInternet();
    shell = new Installation(net, "tools");
    project = join(net.directory, "project");
    mkdirSync(join(project, ".git/hooks"), { recursive: true });
    writeFileSync(join(project, ".git/config"), "[core]\n");
    Bun.spawnSync(["chown", "-R", "4242:4242", project]);
  });
  afterAll(async () => {
    await shell?.[Symbol.asyncDispose]();
    await net?.[Symbol.asyncDispose]();
  });
  const run = (script: string) =>
    net.runOnHost([BINARY, "sandbox", "run", "--mount", `${project}:/work:rw`, "--workdir", "/work", "--", "/bin/sh", "-c", script]);

  test("git's configuration and hooks stay, and the start says so", async () => {
    const { stdout, stderr } = await run(
      "echo evil > .git/config || echo one; echo evil > .git/hooks/post-checkout || echo two; mv .git old || echo three; echo a > file && cat file",
    );
    expect(stdout).toBe("one\ntwo\nthree\na\n");
    expect(stderr).toMatch(/tool-configuration \/work: .*read-only: \.git\/config, \.git\/hooks.*can make it: \.envrc/);
    expect(stderr).not.toContain("is new");
    expect(readFileSync(join(project, ".git/config"), "utf8")).toBe("[core]\n");
  });

  test("what was not there and was made is told at the end, a link that leads nowhere too", async () => {
    const { exitCode, stderr } = await run("echo evil > .envrc; ln -s /nowhere .vscode; echo ../evil > .git/commondir; exit 3");
    expect(exitCode).toBe(3);
    for (const name of [".envrc", ".vscode", ".git/commondir"]) expect(stderr).toContain(`${join(project, name)} is new`);
  });
});
