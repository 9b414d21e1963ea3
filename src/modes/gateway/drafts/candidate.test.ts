import { expect, test } from "bun:test";
import { emptyEndpoint, emptyRequestRule } from "../../../policy/defaults.ts";
import type { Endpoint, NetworkRule, Policy } from "../../../policy/model.ts";
import { validatePolicy } from "../../../policy/validate.ts";
import { candidateFor } from "./candidate.ts";
import type { Chunk } from "./chunk.ts";

const where: Endpoint = { ...emptyEndpoint, host: "api.example.test", ports: [443], protocol: "rest", enforcement: "enforce" };
const rule = (endpoint: Endpoint, path: string): NetworkRule => ({ name: "", endpoints: [endpoint], binaries: [{ path, selfOnly: true }] });
const policyWith = (endpoint: Endpoint, path: string): Policy => ({
  version: 1,
  networkPolicies: { own: { ...rule(endpoint, path), name: "own" } },
});
const chunkOf = (proposed: NetworkRule): Chunk => ({ edited: false, ruleName: "allow_more", rule: proposed }) as unknown as Chunk;
const post: Endpoint = { ...where, rules: [{ ...emptyRequestRule, method: "POST", path: "/v1/items" }] };

test("a proposal takes over how the same program's connections to that host and port are inspected, not what is allowed", () => {
  const policy = policyWith({ ...where, access: "read-only", allowEncodedSlash: true }, "/usr/bin/curl");
  const { policy: merged, key } = candidateFor(policy, chunkOf(rule(post, "/usr/bin/curl")), undefined);
  expect(validatePolicy(merged)).toEqual([]);
  expect(merged.networkPolicies[key]?.endpoints[0]).toMatchObject({ allowEncodedSlash: true, access: "", rules: post.rules });
  expect(merged.networkPolicies["own"]).toEqual(policy.networkPolicies["own"]!);
});

test("another program's settings are its own", () => {
  const policy = policyWith({ ...where, access: "read-only", allowEncodedSlash: true }, "/usr/bin/git");
  const { policy: merged, key } = candidateFor(policy, chunkOf(rule(post, "/usr/bin/curl")), undefined);
  expect(merged.networkPolicies[key]?.endpoints[0]).toMatchObject({ allowEncodedSlash: false, rules: post.rules });
});
