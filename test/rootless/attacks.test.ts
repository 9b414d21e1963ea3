/** The attack list of "a confined agent" again, with sandboxes that an ordinary user starts: what is refused there is the same. */
import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { ATTACKS, runAttacks } from "./run-attacks.ts";
import { missingForRootless } from "./user.ts";

const missing = missingForRootless();
if (missing !== undefined) console.log(`skipped: attacks on a sandbox of an ordinary user: ${missing}`);

const files = readdirSync(ATTACKS).filter((name) => name.endsWith(".test.ts"));

describe.skipIf(missing !== undefined)("attacks on a sandbox of an ordinary user", () => {
  test.each(files)(
    "%s",
    async (file) => {
      const { stdout, stderr } = await runAttacks(file);
      expect(stderr).toMatch(/\b[1-9]\d* pass/);
      expect(stdout).not.toContain("skipped");
    },
    300_000,
  );
});
