/** The attack list of "a confined agent" once more, through a gateway that an ordinary user runs: create, exec and delete instead of run. */
import { describe, expect, test } from "bun:test";
import { runAttacks } from "./run-attacks.ts";
import { missingForRootless } from "./user.ts";

const missing = missingForRootless();
if (missing !== undefined) console.log(`skipped: attacks through an ordinary user's gateway: ${missing}`);

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
      const { stdout, stderr } = await runAttacks(file, pattern, { OPENSHELL_ATTACKS_GATEWAY: "1" });
      expect(stderr).toMatch(/\b[1-9]\d* pass/);
      expect(stdout).not.toContain("skipped:");
    },
    600_000,
  );
});
