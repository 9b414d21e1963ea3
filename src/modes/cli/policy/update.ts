import { defineCommand } from "../../../command/define.ts";
import { outputArg, print } from "../../../command/output.ts";
import { EXIT_OK } from "../../../command/report.ts";
import { OpenShellError } from "../../../error.ts";
import { withGateway } from "../connection/gateway.ts";
import { sandboxName } from "../last-sandbox.ts";
import { optionalName, waitTimeout } from "../sandbox/arguments.ts";
import { renderChanges } from "./changes.ts";
import { policyOf } from "./current.ts";
import { updateOperations } from "./operations.ts";
import { sendUpdate } from "./send-update.ts";

export default defineCommand({
  meta: {
    name: "update",
    description: "Change parts of the network policy of a running sandbox",
    examples: [
      "openshell policy update work --add-endpoint api.example.com:443 --binary /usr/bin/curl --wait",
      "openshell policy update work --add-endpoint api.example.com:443:read-only:rest:enforce --binary /usr/bin/gh --rule-name gh",
      "openshell policy update work --remove-rule gh --dry-run",
    ],
  },
  args: {
    name: optionalName,
    "add-endpoint": {
      type: "string",
      multiple: true,
      valueHint: "HOST:PORT[:ACCESS[:PROTOCOL[:ENFORCEMENT]]]",
      description: "Allow this destination",
    },
    binary: { type: "string", multiple: true, valueHint: "PATH", description: "For this program; with --add-endpoint" },
    "add-allow": { type: "string", multiple: true, valueHint: "HOST:PORT:METHOD:PATH", description: "Allow these requests of an endpoint" },
    "add-deny": { type: "string", multiple: true, valueHint: "HOST:PORT:METHOD:PATH", description: "Deny these requests of an endpoint" },
    "remove-endpoint": { type: "string", multiple: true, valueHint: "HOST:PORT", description: "No longer allow this destination" },
    "remove-binary": { type: "string", multiple: true, valueHint: "PATH", description: "Take a program out of --rule-name" },
    "remove-rule": { type: "string", multiple: true, valueHint: "RULE", description: "Remove a whole rule" },
    "rule-name": { type: "string", valueHint: "RULE", description: "The rule to change; else made from the host, or found by it" },
    global: { type: "boolean", description: "Change the policy for all sandboxes" },
    "dry-run": { type: "boolean", description: "Show what would change, and change nothing" },
    wait: { type: "boolean", description: "Return when the sandbox has acknowledged it" },
    timeout: waitTimeout,
    output: outputArg,
  },
  run: ({ args, terminal, globals }) => {
    if (args.global && args.wait) throw new OpenShellError("invalid_argument", "--wait waits for one sandbox, it cannot go with --global");
    return withGateway({ globals, terminal }, async (gateway) => {
      const sandbox = args.global ? "" : sandboxName(args.name, gateway, terminal);
      const current = await policyOf(gateway, { sandbox, global: args.global ?? false });
      const mergeOperations = updateOperations(args, current);
      const { mergePolicy } = await import("../../../policy/merge-operations.ts");
      const { diffPolicies } = await import("../../../policy/diff.ts");
      const next = mergePolicy(current, mergeOperations);
      const { validatePolicy } = await import("../../../policy/validate.ts");
      const violations = validatePolicy(next);
      const [first] = violations;
      if (first !== undefined)
        throw new OpenShellError("invalid_argument", `the policy would not be valid: ${first.field}: ${first.message}`, { violations });
      const changes = diffPolicies(current, next);
      const shows = args["dry-run"] || changes.length === 0;
      if (shows) {
        const table = () => renderChanges(changes, terminal.style);
        await print(args.output, { data: changes, names: changes.map(({ field }) => field), table }, terminal);
        return EXIT_OK;
      }
      if (args.output === "table") terminal.out(renderChanges(changes, terminal.style));
      const request = { workspaceScope: gateway.scope, sandbox, mergeOperations, global: args.global ?? false };
      return sendUpdate(request, { asked: args.wait ?? false, timeoutSeconds: args.timeout }, gateway, terminal, args.output);
    });
  },
});
