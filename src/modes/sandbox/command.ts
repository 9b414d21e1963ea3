import { hostname } from "node:os";
import { resolve } from "node:path";
import { defineCommand } from "../../command/define.ts";
import { pairsValue } from "../../command/values.ts";
import { OpenShellError } from "../../error.ts";
import { parseMount } from "../../mount-flag.ts";
import { UPSTREAM_PROXY_ARGS, upstreamProxyOption } from "../../upstream-proxy/flags.ts";
import { parseTrustedCidr } from "./cidr-flag.ts";
import { gainPrivileges } from "./rootless/enter.ts";

/** Seconds; timers of the runtime count milliseconds in 31 bits. */
const MAX_TIMEOUT = 2_147_483;

/** Our name of a variable, then those of older installations; never plain `OPENSHELL_SANDBOX`, which every program inside has. */
const variableNames = (name: string) => ["OPENSHELL", "NAVIGATOR", "NEMOCLAW"].map((prefix) => `${prefix}_${name}`);

/** `openshell sandbox run`: the supervisor, by hand, as PID 1 of a container, or started by a gateway's driver. */
export const runCommand = defineCommand({
  meta: {
    name: "run",
    description: "Run a program confined by a policy, without a gateway",
    examples: [
      "openshell sandbox run -- bash",
      "openshell sandbox run --policy policy.yaml -- curl https://api.example.com/",
      "openshell sandbox run --policy policy.yaml --credentials credentials.yaml -- git fetch",
      "openshell sandbox run --policy policy.yaml --mount .:/sandbox/project:rw --timeout 600 -- make test",
    ],
  },
  args: {
    policy: {
      type: "string",
      valueHint: "FILE",
      env: variableNames("SANDBOX_POLICY"),
      description: "Policy; else /etc/openshell/policy.yaml, else no network",
    },
    "sandbox-name": { type: "string", valueHint: "NAME", env: variableNames("SANDBOX_NAME"), description: "Name in logs and as host name" },
    "sandbox-id": { type: "string", valueHint: "ID", env: variableNames("SANDBOX_ID"), description: "Id in logs", default: "" },
    workdir: { type: "string", valueHint: "DIR", alias: "w", description: "Working directory inside", default: "/sandbox" },
    timeout: {
      type: "string",
      valueHint: "SECONDS",
      alias: "t",
      integer: { min: 0, max: MAX_TIMEOUT, default: 0 },
      description: "End the program after this time (exit code 124)",
    },
    mount: { type: "string", valueHint: "SRC[:DST][:ro|rw]", multiple: true, description: "A path of the host that the program sees" },
    env: { type: "string", valueHint: "KEY=VALUE", multiple: true, description: "Variable for the program" },
    "trusted-cidr": {
      type: "string",
      valueHint: "CIDR",
      multiple: true,
      description: "Private addresses that allowed names may resolve to",
    },
    "internal-domain": {
      type: "string",
      valueHint: "SUFFIX",
      multiple: true,
      description: "Names that may be resolved to find private addresses for a proposal",
    },
    "upstream-ca": {
      type: "string",
      valueHint: "FILE",
      env: "OPENSHELL_UPSTREAM_CA",
      description: "Authorities (PEM) that servers may be certified by, beside the system's",
    },
    credentials: {
      type: "string",
      valueHint: "FILE",
      env: "OPENSHELL_CREDENTIALS",
      description: "Secrets (YAML, readable by you alone) that requests get on their way out; programs see placeholders",
    },
    "inference-routes": {
      type: "string",
      valueHint: "FILE",
      env: "OPENSHELL_INFERENCE_ROUTES",
      description: "Models (YAML) that programs reach at https://inference.local",
    },
    ...UPSTREAM_PROXY_ARGS,
    "log-dir": { type: "string", valueHint: "DIR", description: "Write event logs there as well" },
    spec: { type: "string", valueHint: "FILE", hidden: true, description: "Written by a gateway's driver" },
    command: { type: "positional", required: false, multiple: true, terminator: "implied", description: "The program and its arguments" },
  },
  async run({ args }) {
    if (args.spec !== undefined) {
      const { runFromSpec } = await import("./from-spec.ts");
      return runFromSpec(args.spec);
    }
    if (args.command.length === 0) {
      throw new OpenShellError("invalid_argument", "no command given", { next: "openshell sandbox run -- COMMAND [ARGUMENTS]" });
    }
    const options = {
      sandboxName: args["sandbox-name"] ?? hostname(),
      sandboxId: args["sandbox-id"],
      command: args.command,
      environment: pairsValue("--env", args.env, ["openshell", "sandbox", "run"]),
      workdir: args.workdir,
      timeout: args.timeout,
      mounts: args.mount.map(parseMount),
      trustedCidrs: args["trusted-cidr"].map(parseTrustedCidr),
      internalDomains: args["internal-domain"],
      ...(args.policy === undefined ? {} : { policyFile: resolve(args.policy) }),
      ...(args["upstream-ca"] === undefined ? {} : { upstreamCa: resolve(args["upstream-ca"]) }),
      ...(args.credentials === undefined ? {} : { credentialFile: resolve(args.credentials) }),
      ...(args["inference-routes"] === undefined ? {} : { inferenceRoutes: resolve(args["inference-routes"]) }),
      ...upstreamProxyOption(args),
      ...(args["log-dir"] === undefined ? {} : { logDirectory: resolve(args["log-dir"]) }),
    };
    gainPrivileges();
    // The processes of the box take longest: they start before anything else is loaded.
    const { Ground } = await import("./box/ground.ts");
    const ground = new Ground();
    const { runStandalone } = await import("./run-standalone.ts");
    return runStandalone(options, ground);
  },
});
