import { join } from "node:path";
import { USER } from "./user.ts";

/** Where the attack list stands. */
export const ATTACKS = join(import.meta.dir, "../attacks");

/** Runs tests of one file of the attack list for an ordinary user: those with names that match `pattern`, or all of them; throws with their whole output when one fails. */
export async function runAttacks(file: string, pattern?: string, environment: Readonly<Record<string, string>> = {}) {
  const tests = Bun.spawn(
    [process.execPath, "test", "--timeout", "100000", ...(pattern === undefined ? [] : ["-t", pattern]), join(ATTACKS, file)],
    {
      env: { ...process.env, OPENSHELL_ATTACKS_UID: String(USER), ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const [stdout, stderr, code] = await Promise.all([new Response(tests.stdout).text(), new Response(tests.stderr).text(), tests.exited]);
  if (code !== 0) throw new Error(`${file} as uid ${USER}:\n${stdout}${stderr}`);
  return { stdout, stderr };
}
