import { defineCommand } from "../../../command/define.ts";
import { outputArg } from "../../../command/output.ts";
import { EXIT_ERROR } from "../../../command/report.ts";
import { OpenShellError } from "../../../error.ts";
import { confirm } from "../ask.ts";
import { withGateway } from "../connection/gateway.ts";
import { sandboxName } from "../last-sandbox.ts";
import { optionalName, waitTimeout } from "../sandbox/arguments.ts";
import { readPolicyProto } from "./file.ts";
import { sendUpdate } from "./send-update.ts";

export default defineCommand({
  meta: {
    name: "set",
    description: "Replace the policy of a running sandbox (the network section is live; the others are fixed at start)",
    examples: ["openshell policy set work --policy policy.yaml --wait"],
  },
  args: {
    name: optionalName,
    policy: { type: "string", required: true, valueHint: "FILE", description: "Policy YAML; - is standard input" },
    global: { type: "boolean", description: "For all sandboxes" },
    wait: { type: "boolean", description: "Return when the sandbox has acknowledged it" },
    timeout: waitTimeout,
    output: outputArg,
    yes: { type: "boolean", alias: "y", description: "Do not ask" },
  },
  run: async ({ args, terminal, globals }) => {
    if (args.global && args.wait) throw new OpenShellError("invalid_argument", "--wait waits for one sandbox, it cannot go with --global");
    const policy = await readPolicyProto(args.policy);
    return withGateway({ globals, terminal }, async (gateway) => {
      const sandbox = args.global ? "" : sandboxName(args.name, gateway, terminal);
      if (args.global && !args.yes && terminal.stdinIsTerminal) {
        if (!(await confirm("Replace the policy of every sandbox?", terminal))) return EXIT_ERROR;
      }
      const request = { workspaceScope: gateway.scope, sandbox, policy, global: args.global ?? false };
      return sendUpdate(request, { asked: args.wait ?? false, timeoutSeconds: args.timeout }, gateway, terminal, args.output);
    });
  },
});
