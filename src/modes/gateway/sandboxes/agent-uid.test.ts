import { expect, test } from "bun:test";
import { parsePolicyYaml } from "../../../policy/yaml.ts";
import { requestedUid } from "./agent-uid.ts";

const policy = (process: string) => parsePolicyYaml(`version: 1\nprocess: ${process}\n`, { source: "test" });

test("sandbox is a uid of the sandbox's own, a number only one that the operator lists", () => {
  expect(requestedUid(policy("{run_as_user: sandbox}"), [])).toBeUndefined();
  expect(requestedUid({ version: 1, networkPolicies: {} }, [])).toBeUndefined();
  expect(() => requestedUid(policy('{run_as_user: "1000"}'), [])).toThrow(/run_as_user: uid 1000/);
  expect(() => requestedUid(policy('{run_as_user: "1000"}'), [1001])).toThrow(/operator/);
  expect(requestedUid(policy('{run_as_user: "1000"}'), [1000])).toBe(1000);
});

test("the group is the user's", () => {
  expect(requestedUid(policy('{run_as_user: "1000", run_as_group: "1000"}'), [1000])).toBe(1000);
  expect(() => requestedUid(policy('{run_as_user: "1000", run_as_group: "27"}'), [1000])).toThrow(/run_as_group/);
  expect(() => requestedUid(policy('{run_as_group: "27"}'), [27])).toThrow(/run_as_group/);
});
