/** `openshell doctor`, by root and by an ordinary user: what it says is what a sandbox gets. */
import { describe, expect, test } from "bun:test";
import { BINARY } from "../e2e/installation.ts";
import { as, missingForRootless, USER } from "./user.ts";

const missing = missingForRootless();
if (missing !== undefined) console.log(`skipped: openshell doctor: ${missing}`);

interface Report {
  readonly ok: boolean;
  readonly summary: string;
  readonly features: readonly { feature: string; state: string; found: string; meaning: string; remedy?: string }[];
}

/** Tried in this order; no sandbox starts without these. */
const REQUIRED = ["network-namespaces", "box", "mounts", "seccomp-notify", "landlock", "seccomp"];

function doctor(user: readonly string[], ...flags: string[]) {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...user, BINARY, "doctor", ...flags], { cwd: "/", env: { PATH: "/usr/bin:/bin" } });
  return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

describe.skipIf(missing !== undefined)("openshell doctor", () => {
  test.each([
    ["root", []],
    ["an ordinary user", as(USER)],
  ])("%s: every feature is tried, and a sandbox can start", (_, user) => {
    const { exitCode, stdout, stderr } = doctor(user, "-o", "json");
    const report = JSON.parse(stdout) as Report;
    const state = Object.fromEntries(report.features.map((row) => [row.feature, row.state]));
    expect(state).toMatchObject(Object.fromEntries(REQUIRED.map((feature) => [feature, "ok"])));
    expect({ exitCode, stderr, ok: report.ok }).toEqual({ exitCode: 0, stderr: "", ok: true });
    for (const { feature, state, found, meaning, remedy } of report.features) {
      expect({ feature, told: found !== "" && meaning !== "" && (state === "ok" || remedy !== undefined) }).toEqual({
        feature,
        told: true,
      });
    }
  });

  test("an ordinary user is told what is weaker, and how to get it", () => {
    const { stdout } = doctor(as(USER));
    expect(stdout).toMatch(/^privileges +degraded/m);
    expect(stdout).toContain("A sandbox can start here; weaker than it could be:");
    expect(stdout).toContain("Change: run as root");
    expect(doctor(as(USER), "-o", "name").stdout.split("\n")).toContain("privileges");
  });

  test("yaml, and its short name", () => {
    expect(doctor([], "-o", "yaml").stdout).toContain("- feature: landlock");
    expect(Bun.spawnSync([BINARY, "dr", "--help"]).stdout.toString()).toContain("openshell doctor");
  });
});
