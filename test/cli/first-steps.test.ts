/** What a person meets first, with the compiled binary on a machine where nothing is set up: the quickstart, the offer of a gateway, progress. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { missingBinary } from "../e2e/installation.ts";
import { missingForOwnMachine, OwnMachine } from "./pty.ts";

const missing = missingBinary() ?? missingForOwnMachine();
if (missing !== undefined) console.log(`skipped: first steps: ${missing}`);

/** Control sequences of colours and of lines that are written again. */
const ESCAPE = "\u001b[";

/** The commands of the quickstart as the README has them. */
function quickstart(): string[] {
  const readme = readFileSync(join(import.meta.dir, "../../README.md"), "utf8");
  const [, block = ""] = /## A shell in a sandbox\n[^#]*?```sh\n(.*?)```/s.exec(readme) ?? [];
  return block.trim().split("\n");
}

/** Does something once `shown` stands in `typescript`, where a terminal's output goes. A minute is more than any machine takes. */
const WHEN = (shown: string, then: string) =>
  `for i in $(seq 600); do grep -q '${shown}' typescript 2>/dev/null && break; sleep 0.1; done; ${then}`;

describe.skipIf(missing !== undefined)("first steps", () => {
  test("the README's two commands lead to a shell in a sandbox", async () => {
    const [build = "", create = "", ...rest] = quickstart();
    expect([build, rest]).toEqual([expect.stringMatching(/^npx --yes bun@[\d.]+ run build$/), []]);
    expect(create).toStartWith("dist/openshell sandbox create ");
    const command = create.replace("dist/openshell", "$BINARY");
    await using machine = new OwnMachine();
    const { code, out } = await machine.run(
      `(${WHEN("sandbox@", "echo 'pwd; echo in-$((6*7)); exit'")}; ${WHEN("in-42", "sleep 1")}) | script -qfec "${command}" typescript; openshell sandbox list -o name`,
    );
    expect(out).toContain("in-42");
    expect(out).toContain("/sandbox\r\n");
    expect(out.trimEnd().split("\n").at(-1)).toBe("work");
    expect(code).toBe(0);
  });

  test("on a terminal the gateway is offered, and a no starts none", async () => {
    await using machine = new OwnMachine();
    const { out } = await machine.run(
      `(${WHEN("one in the background", "echo n")}; ${WHEN("Next:", "true")}) | script -qfec "$BINARY sandbox create --name work" typescript; openshell gateway status`,
    );
    expect(out).toContain("No gateway runs here. Start one in the background?");
    expect(out).toContain("openshell gateway serve");
    expect(out).toContain("Stopped");
  });

  test("without a terminal nothing is asked: what is missing is said, with exit code 1", async () => {
    await using machine = new OwnMachine();
    const { code, out, err } = await machine.run("openshell sandbox create --name work");
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain("Next: ");
    expect(err).not.toContain("Start one");
  });

  test("progress: timed lines without a terminal; a checklist on one, without colours under NO_COLOR", async () => {
    await using machine = new OwnMachine();
    const { code, out, err } = await machine.run(
      `openshell sandbox create --yes --name plain && script -qec "$BINARY sandbox create --name coloured" /dev/null && NO_COLOR=1 script -qec "$BINARY sandbox create --name grey" /dev/null`,
    );
    expect(code).toBe(0);
    expect(err).toMatch(/^\[\d+\.\ds\] Requesting sandbox$/m);
    expect(err).not.toContain(ESCAPE);
    const [plain = "", coloured = "", grey = ""] = splitAt(out);
    expect(plain).toContain("✓ Created sandbox 'plain'");
    expect(coloured).toContain(`${ESCAPE}32m✓`);
    expect(coloured).toMatch(/✓.*Requesting sandbox/);
    expect(grey).toMatch(/✓ Requesting sandbox \(\d+\.\ds\)/);
    expect(grey.replaceAll(`\r${ESCAPE}K`, "")).not.toContain(ESCAPE);
  });
});

/** What each of the three commands printed: the first on its pipe, the others on their terminals. */
function splitAt(out: string): string[] {
  const ends = ["'plain'", "'coloured'", "'grey'"].map((name) => out.indexOf(name));
  const [first = 0, second = 0] = ends;
  const after = (at: number) => out.indexOf("COMMAND", at) + "COMMAND".length;
  return [out.slice(0, after(first)), out.slice(after(first), after(second)), out.slice(after(second))];
}
