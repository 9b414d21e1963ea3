import { expect, test } from "bun:test";
import { restrictiveDefault } from "./defaults.ts";
import { gatewayWarnings } from "./gateway-warnings.ts";
import type { Policy } from "./model.ts";

const fields = (policy: Policy) => gatewayWarnings(policy).map(({ field }) => field);

test("the default policy passes every gateway", () => {
  expect(fields(restrictiveDefault())).toEqual([]);
});

test("paths beyond the view, foreign uids and keys of providers are named", () => {
  expect(
    fields({
      version: 1,
      filesystem: { includeWorkdir: true, readOnly: ["/usr/share", "/home/ana", "/optional"], readWrite: ["/tmp/x", "/usr/../srv"] },
      process: { runAsUser: "1001", runAsGroup: "33" },
      networkPolicies: { _provider_x: { name: "x", endpoints: [], binaries: [] } },
    }),
  ).toEqual([
    "network_policies._provider_x",
    "filesystem_policy.read_only[1]",
    "filesystem_policy.read_only[2]",
    "filesystem_policy.read_write[1]",
    "process.run_as_user",
    "process.run_as_group",
  ]);
});
