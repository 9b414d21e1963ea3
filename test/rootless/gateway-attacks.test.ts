/** The attack list of "a confined agent" once more, through a gateway that an ordinary user runs: create, exec and delete instead of run. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { missingForRootless, USER } from "./user.ts";

const missing = missingForRootless();
if (missing !== undefined) console.log(`skipped: attacks through an ordinary user's gateway: ${missing}`);

const FOLDER = join(import.meta.dir, "../attacks");
/**
 * Those whose subject is what the sandbox is, not how `sandbox run` behaves on a terminal: a policy file that is watched (files:
 * threat-03) and the pid of the supervisor (resources) have no counterpart here; own-binary has a gateway of its own.
 */
const FILES: Readonly<Record<string, string>> = {
  "destinations.test.ts": ".",
  "identity.test.ts": ".",
  "kernel.test.ts": ".",
  "network.test.ts": ".",
  "requests.test.ts": ".",
  "files.test.ts": "case|/proc|kernel|descriptor|threat-21|nothing of the attacks",
  "resources.test.ts": "threat-16|killing everybody",
};

describe.skipIf(missing !== undefined)("attacks through an ordinary user's gateway", () => {
  test.each(Object.entries(FILES))(
    "%s",
    async (file, pattern) => {
      const tests = Bun.spawn([process.execPath, "test", "--timeout", "100000", "-t", pattern, join(FOLDER, file)], {
        env: { ...process.env, OPENSHELL_ATTACKS_UID: String(USER), OPENSHELL_ATTACKS_GATEWAY: "1" },
        stdio: ["ignore", "pipe", "pipe"],
      });
      const [stdout, stderr, code] = await Promise.all([
        new Response(tests.stdout).text(),
        new Response(tests.stderr).text(),
        tests.exited,
      ]);
      if (code !== 0) throw new Error(`${file} as uid ${USER}:\n${stdout}${stderr}`);
      expect(stderr).toMatch(/\b[1-9]\d* pass/);
      expect(stdout).not.toContain("skipped:");
    },
    600_000,
  );
});
