/** The completion scripts in the shells that they are for, with the compiled binary and a gateway whose sandboxes have names. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FakeGateway, fakeGateway } from "../../src/modes/cli/gateway.fixture.ts";
import { BINARY, missingBinary } from "../e2e/installation.ts";

/** How each shell is asked for what it would offer behind these words, the last of which is being typed. One candidate per line. */
const SHELLS: Readonly<Record<string, (words: readonly string[]) => string[]>> = {
  bash: (words) => [
    "bash",
    "--norc",
    "-c",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a variable of the shell
    'source <(openshell completions bash); COMP_WORDS=(openshell "$@"); COMP_CWORD=$#; _openshell; printf "%s\\n" "${COMPREPLY[@]}"',
    "bash",
    ...words,
  ],
  zsh: (words) => [
    "zsh",
    "-f",
    "-c",
    'autoload -Uz compinit; compinit -u -D; source <(openshell completions zsh); compadd() { shift; print -l -- "$@" }; _files() { print -l -- *(N) }; words=(openshell "$@"); CURRENT=$(( $# + 1 )); _openshell',
    "zsh",
    ...words,
  ],
  fish: (words) => [
    "fish",
    "--no-config",
    "-c",
    'openshell completions fish | source; complete -C "openshell $argv" | string replace -r "\\t.*" ""',
    "--",
    words.join(" "),
  ],
};

const missing = missingBinary();
if (missing !== undefined) console.log(`skipped: completions: ${missing}`);

describe.skipIf(missing !== undefined)("completions", () => {
  let gateway: FakeGateway;
  let directory: string;

  beforeAll(async () => {
    const named = (name: string) => ({ metadata: { name, workspace: "default" } });
    gateway = await fakeGateway({
      listSandboxes: () => ({ sandboxes: [named("work"), named("worker-2"), named("$(touch planted)"), named("`id`")] }),
    });
    directory = mkdtempSync(join(tmpdir(), "completions-"));
    symlinkSync(BINARY, join(directory, "openshell"));
    writeFileSync(join(directory, "policy.yaml"), "");
  });
  afterAll(async () => {
    await gateway?.[Symbol.asyncDispose]();
    if (directory !== undefined) rmSync(directory, { recursive: true });
  });

  for (const [shell, ask] of Object.entries(SHELLS)) {
    const there = Bun.which(shell) !== null;
    if (!there) console.log(`skipped: completions for ${shell}: ${shell} is not installed`);
    describe.skipIf(!there)(shell, () => {
      async function offered(...words: string[]): Promise<string[]> {
        const child = Bun.spawn({
          cmd: ask(words),
          cwd: directory,
          env: {
            PATH: `${directory}:/usr/local/bin:/usr/bin:/bin`,
            HOME: directory,
            XDG_CONFIG_HOME: directory,
            OPENSHELL_SYSTEM_GATEWAY_DIR: join(directory, "system"),
            OPENSHELL_GATEWAY_ENDPOINT: gateway.endpoint,
            TERM: "dumb",
          },
          stdout: "pipe",
          stderr: "pipe",
        });
        const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
        expect(err).toBe("");
        return out
          .split("\n")
          .filter((line) => line !== "")
          .sort();
      }

      test("commands", async () => {
        expect(await offered("sandb")).toEqual(["sandbox"]);
        expect(await offered("sandbox", "st")).toEqual(["start", "stop"]);
        expect(await offered("sandbox", "draft", "appr")).toEqual(["approve"]);
        expect(await offered("")).toEqual(expect.arrayContaining(["sandbox", "policy", "gateway", "logs"]));
      });
      test("flags, and the values of those that have a list", async () => {
        expect(await offered("sandbox", "draft", "approve", "work", "--on")).toEqual(["--once"]);
        expect(await offered("sandbox", "list", "--lim")).toEqual(["--limit"]);
        expect(await offered("sandbox", "list", "-o", "")).toEqual(["json", "name", "table", "yaml"]);
      });
      test("names of sandboxes, asked of the gateway", async () => {
        expect(await offered("sandbox", "get", "wor")).toEqual(["work", "worker-2"]);
        expect(await offered("sandbox", "exec", "-n", "worker")).toEqual(["worker-2"]);
        expect(await offered("logs", "")).toEqual(["work", "worker-2"]);
      });
      test("names of templates", async () => {
        expect(await offered("sandbox", "create", "--policy-template", "pyth")).toEqual(["python-dev"]);
        expect(await offered("policy", "show-template", "node")).toEqual(["node-dev"]);
      });
      test("a name that a shell would expand is not offered", async () => {
        await offered("sandbox", "get", "");
        expect(await Bun.file(join(directory, "planted")).exists()).toBe(false);
      });
      test("files where a file goes", async () => {
        expect(await offered("policy", "validate", "pol")).toContain("policy.yaml");
      });
    });
  }
});
