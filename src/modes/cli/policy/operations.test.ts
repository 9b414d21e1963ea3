import { describe, expect, test } from "bun:test";
import { restrictiveDefault } from "../../../policy/defaults.ts";
import { mergePolicy } from "../../../policy/merge-operations.ts";
import { parsePolicyYaml } from "../../../policy/yaml.ts";
import { parseDestination } from "./destination.ts";
import { type UpdateFlags, updateOperations } from "./operations.ts";

const base = parsePolicyYaml(
  `version: 1
network_policies:
  api:
    endpoints: [{ host: api.example.com, port: 443, protocol: rest, access: read-only }]
    binaries: [{ path: /usr/bin/curl }, { path: /usr/bin/wget }]
  other:
    endpoints: [{ host: api.example.com, port: 8443 }, { host: x.example.com, port: 443 }]
    binaries: [{ path: /usr/bin/git }]
`,
  { source: "test" },
);

const FULL = `version: 1
network_policies:
  all:
    endpoints: [{ host: all.example.com, port: 443, protocol: rest, access: full }]
    binaries: [{ path: /usr/bin/curl }]
`;

const none: UpdateFlags = {
  "add-endpoint": [],
  "add-allow": [],
  "add-deny": [],
  "remove-endpoint": [],
  "remove-binary": [],
  "remove-rule": [],
  binary: [],
  "rule-name": undefined,
};
const after = (flags: Partial<UpdateFlags>, policy = base) =>
  mergePolicy(policy, updateOperations({ ...none, ...flags }, policy)).networkPolicies;

describe("policy update", () => {
  test("an endpoint for a program, with a rule named after it", () => {
    const rules = after({ "add-endpoint": ["New.Example.com:443:read-only:rest:enforce"], binary: ["/usr/bin/gh"] }, restrictiveDefault());
    expect(rules["new_example_com_443"]).toMatchObject({
      endpoints: [{ host: "new.example.com", ports: [443], access: "read-only", protocol: "rest", enforcement: "enforce" }],
      binaries: [{ path: "/usr/bin/gh", selfOnly: false }],
    });
  });

  test("into a rule that exists: its endpoints and programs stay", () => {
    const { api } = after({ "add-endpoint": ["two.example.com:443"], binary: ["/usr/bin/gh"], "rule-name": "api" });
    expect(api?.endpoints.map(({ host }) => host)).toEqual(["api.example.com", "two.example.com"]);
    expect(api?.binaries.map(({ path }) => path).sort()).toEqual(["/usr/bin/curl", "/usr/bin/gh", "/usr/bin/wget"]);
  });

  test("requests are allowed and denied where the destination is", () => {
    const { api } = after({ "add-allow": ["api.example.com:443:POST:/v1/a:b"], "add-deny": ["api.example.com:443:GET:/secret/**"] });
    // The preset is written out: an endpoint has one or rules.
    expect(api?.endpoints[0]?.access).toBe("");
    expect(api?.endpoints[0]?.rules.map(({ method, path }) => `${method} ${path}`)).toEqual([
      ...["GET **", "HEAD **", "OPTIONS **"],
      "POST /v1/a:b",
    ]);
    expect(api?.endpoints[0]?.denyRules).toMatchObject([{ method: "GET", path: "/secret/**" }]);
  });

  test("an endpoint that is added brings its requests with it", () => {
    const rules = after({
      "add-endpoint": ["new.example.com:443::rest:enforce"],
      "add-allow": ["new.example.com:443:POST:/x", "new.example.com:443:GET:/**"],
      "add-deny": ["new.example.com:443:GET:/secret"],
      binary: ["/usr/bin/gh"],
    });
    expect(rules["new_example_com_443"]?.endpoints).toMatchObject([
      {
        rules: [
          { method: "POST", path: "/x" },
          { method: "GET", path: "/**" },
        ],
        denyRules: [{ method: "GET", path: "/secret" }],
      },
    ]);
    const whole = after({ "add-allow": ["all.example.com:443:GET:/x"] }, parsePolicyYaml(FULL, { source: "test" }));
    expect(whole["all"]?.endpoints).toMatchObject([{ access: "full", rules: [] }]);
  });

  test("endpoints, programs and rules are taken out; a rule without endpoints goes", () => {
    expect(Object.keys(after({ "remove-endpoint": ["api.example.com:443"] }))).toEqual(["other"]);
    expect(after({ "remove-binary": ["/usr/bin/wget"], "rule-name": "api" })["api"]?.binaries.map(({ path }) => path)).toEqual([
      "/usr/bin/curl",
    ]);
    expect(Object.keys(after({ "remove-rule": ["other"] }))).toEqual(["api"]);
  });

  test.each([
    [{ "add-endpoint": ["a.example.com:443"] }, "needs --binary"],
    [{ binary: ["/usr/bin/curl"] }, "goes with --add-endpoint"],
    [{ "add-endpoint": ["a.example.com"], binary: ["/usr/bin/curl"] }, "expected HOST:PORT"],
    [{ "add-endpoint": ["a.example.com:443:sometimes"], binary: ["/usr/bin/curl"] }, "access"],
    [{ "add-allow": ["api.example.com:443:GET"] }, "expected HOST:PORT:METHOD:PATH"],
    [{ "remove-endpoint": ["nowhere.example.com:443"] }, "has no endpoint nowhere.example.com:443"],
    [{ "remove-binary": ["/usr/bin/curl"] }, "needs --rule-name"],
    [{ "remove-rule": ["nothing"] }, "nothing"],
    [{}, "nothing to change"],
  ] as const)("%j is refused", (flags, message) => {
    expect(() => after(flags)).toThrow(message);
  });

  test("destinations", () => {
    expect(parseDestination("--x", "[2001:db8::1]:443:a", "F", 3)).toEqual({ host: "2001:db8::1", port: 443, rest: ["a"] });
    expect(() => parseDestination("--x", "h:0", "F", 0)).toThrow("expected F");
    expect(() => parseDestination("--x", "h:70000", "F", 0)).toThrow("expected F");
    expect(() => parseDestination("--x", "h:1:extra", "F", 0)).toThrow("expected F");
  });
});
