import { expect, test } from "bun:test";
import { Dice } from "../policy/dice.test-support.ts";
import { validatePolicy } from "../policy/validate.ts";
import { PolicyEngine } from "./policy-engine.ts";
import { randomRequest, randomRequestPolicy, referenceRequest } from "./request-reference.test-support.ts";

/** `LONG_TESTS=1` asks 4 × 10⁵ questions and more. */
const POLICIES = process.env["LONG_TESTS"] ? 10_000 : 150;
const REQUESTS = 40;

test(
  "the request rules in wasm and a slow second implementation agree on random policies",
  () => {
    const dice = new Dice(0x51ed270b);
    const engine = new PolicyEngine();
    const seen = new Map<string, number>();
    for (let n = 0; n < POLICIES; ) {
      const policy = randomRequestPolicy(dice);
      if (validatePolicy(policy).length > 0) continue;
      n++;
      engine.load(policy);
      for (let m = 0; m < REQUESTS; m++) {
        const query = randomRequest(dice);
        const { action, code, endpointId } = engine.decideRequest(query);
        const actual = { action, ...(code && { code }), ...(endpointId && { id: endpointId }) };
        const expected = referenceRequest(policy, query);
        if (!Bun.deepEquals(actual, expected)) expect({ policy, query, actual }).toEqual({ policy, query, actual: expected as never });
        const kind = `${action} ${code ?? ""}`;
        seen.set(kind, (seen.get(kind) ?? 0) + 1);
      }
    }
    // The comparison means something only when every kind of answer occurs.
    const kinds = ["allow ", "deny request_not_allowed", "audit request_not_allowed", "deny request_denied", "audit request_denied"];
    for (const kind of [...kinds, "deny path_not_covered", "deny body_needed", "deny encoded_slash", "deny protocol_ambiguous"])
      expect(`${kind}: ${(seen.get(kind) ?? 0) > 0}`).toBe(`${kind}: true`);
  },
  60 * 60_000,
);
