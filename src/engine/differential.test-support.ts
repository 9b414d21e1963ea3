import { Dice } from "../policy/dice.test-support.ts";
import { PolicyEngine } from "./policy-engine.ts";
import { randomPolicy, randomQuery, referenceDecision } from "./reference.test-support.ts";

/** What a comparison found. */
export interface Comparison {
  readonly asked: number;
  readonly allowed: number;
  /** The first question with two answers. */
  readonly difference?: { readonly policy: unknown; readonly query: unknown; readonly actual: unknown; readonly expected: unknown };
}

/** Asks the rules in wasm and the slow second implementation the same random questions, `questions` about each policy. */
export function compareRandomPolicies(seed: number, policies: number, questions: number): Comparison {
  const dice = new Dice(seed);
  const engine = new PolicyEngine();
  let allowed = 0;
  for (let n = 0; n < policies; n++) {
    const policy = randomPolicy(dice);
    engine.load(policy);
    for (let m = 0; m < questions; m++) {
      const query = randomQuery(dice);
      const decision = engine.decide(query);
      const actual = decision.allowed
        ? { allowed: true, policy: decision.policy, ids: decision.endpoints.map(({ id }) => id) }
        : { allowed: false, code: decision.code };
      const expected = referenceDecision(policy, query);
      if (!Bun.deepEquals(actual, expected)) return { asked: n * questions + m, allowed, difference: { policy, query, actual, expected } };
      if (decision.allowed) allowed++;
    }
  }
  return { asked: policies * questions, allowed };
}

/** The same divided among so many processes. */
export async function compareInProcesses(processes: number, policies: number, questions: number): Promise<Comparison> {
  const shares = await Promise.all(
    Array.from({ length: processes }, async (_, index) => {
      const share = Math.ceil(policies / processes);
      const words = [String(FIRST_SEED + index), String(share), String(questions)];
      const child = Bun.spawn([process.execPath, import.meta.path, ...words], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
      const output = await child.stdout.text();
      if ((await child.exited) !== 0) throw new Error(`a share of the comparison ended with ${child.exitCode}`);
      return JSON.parse(output) as Comparison;
    }),
  );
  const sum = (pick: (share: Comparison) => number) => shares.reduce((total, share) => total + pick(share), 0);
  const difference = shares.find((share) => share.difference !== undefined)?.difference;
  return { asked: sum(({ asked }) => asked), allowed: sum(({ allowed }) => allowed), ...(difference && { difference }) };
}

export const FIRST_SEED = 0x2545f491;

if (import.meta.main) {
  const [seed = FIRST_SEED, policies = 0, questions = 0] = process.argv.slice(2).map(Number);
  console.log(JSON.stringify(compareRandomPolicies(seed, policies, questions)));
}
