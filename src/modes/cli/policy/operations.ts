import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { OpenShellError } from "../../../error.ts";
import { POLICY_VERSION } from "../../../policy/defaults.ts";
import type { Policy } from "../../../policy/model.ts";
import { policyToProto } from "../../../policy/proto.ts";
import { parsePolicyYaml } from "../../../policy/yaml.ts";
import { type PolicyMergeOperation, PolicyMergeOperationSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { parseDestination } from "./destination.ts";

/** What `policy update` was told to do. */
export interface UpdateFlags {
  readonly "add-endpoint": readonly string[];
  readonly "add-allow": readonly string[];
  readonly "add-deny": readonly string[];
  readonly "remove-endpoint": readonly string[];
  readonly "remove-rule": readonly string[];
  readonly "remove-binary": readonly string[];
  readonly binary: readonly string[];
  readonly "rule-name": string | undefined;
}

type Operation = MessageInitShape<typeof PolicyMergeOperationSchema>["operation"];

const ENDPOINT_FORM = "HOST:PORT[:ACCESS[:PROTOCOL[:ENFORCEMENT]]]";
const REQUEST_FORM = "HOST:PORT:METHOD:PATH";

/** The operations of the flags, in the order: add endpoints, allow, deny, remove. `policy` is the one they will be applied to. */
export function updateOperations(flags: UpdateFlags, policy: Policy): PolicyMergeOperation[] {
  const operations: Operation[] = [];
  if (flags["add-endpoint"].length > 0 && flags.binary.length === 0) {
    throw new OpenShellError("invalid_argument", "--add-endpoint needs --binary: which program may connect there", {
      next: "add --binary /usr/bin/curl, for example",
    });
  }
  if (flags.binary.length > 0 && flags["add-endpoint"].length === 0) {
    throw new OpenShellError(
      "invalid_argument",
      "--binary goes with --add-endpoint; to take one out: --rule-name RULE --remove-binary PATH",
    );
  }
  const added = new Set(flags["add-endpoint"].map((text) => destinationOf("--add-endpoint", text, ENDPOINT_FORM, 3)));
  const isOfAdded = (flag: RequestFlag) => (text: string) => added.has(destinationOf(flag, text, REQUEST_FORM, 2));
  for (const text of flags["add-endpoint"]) operations.push(addEndpoint(text, flags));
  for (const flag of ["--add-allow", "--add-deny"] as const) {
    const texts = flags[flag === "--add-allow" ? "add-allow" : "add-deny"];
    for (const text of texts.filter((each) => !isOfAdded(flag)(each))) operations.push(requestRule(flag, text, flags, policy));
  }
  for (const text of flags["remove-endpoint"]) {
    const { host, port } = parseDestination("--remove-endpoint", text, "HOST:PORT", 0);
    for (const ruleName of rulesFor(policy, host, port, flags))
      operations.push({ case: "removeEndpoint", value: { ruleName, host, port } });
  }
  for (const binaryPath of flags["remove-binary"]) {
    if (flags["rule-name"] === undefined) throw new OpenShellError("invalid_argument", "--remove-binary needs --rule-name");
    operations.push({ case: "removeBinary", value: { ruleName: flags["rule-name"], binaryPath } });
  }
  for (const ruleName of flags["remove-rule"]) operations.push({ case: "removeRule", value: { ruleName } });
  if (operations.length === 0) {
    throw new OpenShellError("invalid_argument", "nothing to change was given", {
      next: `--add-endpoint ${ENDPOINT_FORM} --binary PATH, --remove-rule NAME; see --help`,
    });
  }
  return operations.map((operation) => create(PolicyMergeOperationSchema, operation === undefined ? {} : { operation }));
}

function addEndpoint(text: string, flags: UpdateFlags): Operation {
  const { host, port, rest } = parseDestination("--add-endpoint", text, ENDPOINT_FORM, 3);
  const [access = "", protocol = "", enforcement = ""] = rest;
  const ruleName = flags["rule-name"] ?? keyFor(host, port);
  const place = `${host}:${port}`;
  const requests = (flag: RequestFlag, texts: readonly string[]) =>
    texts.filter((each) => destinationOf(flag, each, REQUEST_FORM, 2) === place).map((each) => requestOf(flag, each));
  const allow = requests("--add-allow", flags["add-allow"]);
  const deny = requests("--add-deny", flags["add-deny"]);
  const endpoint = {
    host,
    port,
    ...(access && { access }),
    ...(protocol && { protocol }),
    ...(enforcement && { enforcement }),
    ...(allow.length > 0 && { rules: allow.map((request) => ({ allow: request })) }),
    ...(deny.length > 0 && { deny_rules: deny }),
  };
  const authored = { [ruleName]: { endpoints: [endpoint], binaries: flags.binary.map((path) => ({ path })) } };
  // The policy reader knows every value and says what is wrong with it; JSON is YAML.
  const parsed = parsePolicyYaml(JSON.stringify({ version: POLICY_VERSION, network_policies: authored }), {
    source: `--add-endpoint ${text}`,
  });
  const rule = policyToProto(parsed).networkPolicies[ruleName];
  return { case: "addRule", value: rule === undefined ? { ruleName } : { ruleName, rule } };
}

type RequestFlag = "--add-allow" | "--add-deny";

function destinationOf(flag: string, text: string, form: string, parts: number): string {
  const { host, port } = parseDestination(flag, text, form, parts);
  return `${host}:${port}`;
}

function requestOf(flag: RequestFlag, text: string): { readonly method: string; readonly path: string } {
  const [method, path] = parseDestination(flag, text, REQUEST_FORM, 2).rest;
  if (method && path?.startsWith("/")) return { method, path };
  throw new OpenShellError("invalid_argument", `'${flag}' is '${text}', expected ${REQUEST_FORM}`);
}

/** For an endpoint that the policy has; one that is being added brings its requests with it. */
function requestRule(flag: RequestFlag, text: string, flags: UpdateFlags, policy: Policy): Operation {
  const { host, port } = parseDestination(flag, text, REQUEST_FORM, 2);
  const { method, path } = requestOf(flag, text);
  const [ruleName = "", ...more] = rulesFor(policy, host, port, flags);
  if (more.length > 0) {
    throw new OpenShellError("invalid_argument", `${host}:${port} is in several rules: ${[ruleName, ...more].join(", ")}`, {
      next: "say which with --rule-name",
    });
  }
  const target = { ruleName, host, ports: [port], anyBinary: true };
  return flag === "--add-allow"
    ? { case: "addAllowRules", value: { target, rules: [{ allow: { method, path } }] } }
    : { case: "addDenyRules", value: { target, denyRules: [{ method, path }] } };
}

/** The rules that have an endpoint for host and port, or the one that was named. */
function rulesFor(policy: Policy, host: string, port: number, flags: UpdateFlags): string[] {
  if (flags["rule-name"] !== undefined) return [flags["rule-name"]];
  const found = Object.entries(policy.networkPolicies).filter(([, { endpoints }]) =>
    endpoints.some((endpoint) => endpoint.host === host && endpoint.ports.includes(port)),
  );
  if (found.length > 0) return found.map(([name]) => name);
  throw new OpenShellError("not_found", `the policy has no endpoint ${host}:${port}`, { next: "openshell policy get shows what it has" });
}

/** A rule's name from its first destination: `api_example_com_443`. */
function keyFor(host: string, port: number): string {
  return `${host.replace(/[^a-z0-9]+/g, "_").replace(/^_|_$/g, "")}_${port}`;
}
