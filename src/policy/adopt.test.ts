import { expect, test } from "bun:test";
import { withExistingSettings } from "./adopt.ts";
import { emptyEndpoint, emptyRequestRule } from "./defaults.ts";
import { addProposedRule } from "./merge.ts";
import type { NetworkRule } from "./model.ts";
import { validatePolicy } from "./validate.ts";
import { parsePolicyYaml } from "./yaml.ts";

const policy = parsePolicyYaml(
  `
version: 1
network_policies:
  gh:
    endpoints: [{host: api.github.com, port: 443, protocol: rest, enforcement: enforce, access: read-only, allowed_ips: [10.0.0.0/16], mask_responses: true}]
    binaries: [{path: /usr/bin/gh}]
`,
  { source: "test" },
);

const proposal = (path: string): NetworkRule => ({
  name: "p",
  endpoints: [
    {
      ...emptyEndpoint,
      host: "api.github.com",
      ports: [443],
      protocol: "rest",
      rules: [{ ...emptyRequestRule, method: "POST", path: "/graphql" }],
    },
  ],
  binaries: [{ path, selfOnly: true }],
});

test("a proposal for the same host, port and binary takes over how requests are treated, and so merges", () => {
  expect(validatePolicy(addProposedRule(policy, "p", proposal("/usr/bin/gh")).policy)).not.toEqual([]);
  const adopted = withExistingSettings(policy, proposal("/usr/bin/gh"));
  expect(adopted.endpoints[0]).toMatchObject({
    enforcement: "enforce",
    allowedIps: ["10.0.0.0/16"],
    maskResponses: true,
    access: "",
    rules: [{ method: "POST" }],
  });
  expect(validatePolicy(addProposedRule(policy, "p", adopted).policy)).toEqual([]);
});

test("for another binary nothing is taken over", () => {
  expect(withExistingSettings(policy, proposal("/usr/bin/curl"))).toEqual(proposal("/usr/bin/curl"));
});
