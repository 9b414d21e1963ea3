/** The attack list of "a confined agent" again, with sandboxes that an ordinary user starts: what is refused there is the same. */
import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { missingForRootless, USER } from "./user.ts";

const missing = missingForRootless();
if (missing !== undefined) console.log(`skipped: attacks on a sandbox of an ordinary user: ${missing}`);

const FOLDER = join(import.meta.dir, "../attacks");
const files = readdirSync(FOLDER).filter((name) => name.endsWith(".test.ts"));

describe.skipIf(missing !== undefined)("attacks on a sandbox of an ordinary user", () => {
  test.each(files)(
    "%s",
    async (file) => {
      const tests = Bun.spawn([process.execPath, "test", "--timeout", "100000", join(FOLDER, file)], {
        env: { ...process.env, OPENSHELL_ATTACKS_UID: String(USER) },
        stdio: ["ignore", "pipe", "pipe"],
      });
      const [stdout, stderr, code] = await Promise.all([
        new Response(tests.stdout).text(),
        new Response(tests.stderr).text(),
        tests.exited,
      ]);
      if (code !== 0) throw new Error(`${file} as uid ${USER}:\n${stdout}${stderr}`);
      expect(stderr).toMatch(/\b[1-9]\d* pass/);
      expect(stdout).not.toContain("skipped");
    },
    300_000,
  );
});
