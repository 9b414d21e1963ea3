import { defineCommand } from "../../../command/define.ts";
import { EXIT_ERROR, EXIT_OK } from "../../../command/report.ts";
import { OpenShellError } from "../../../error.ts";
import { confirm } from "../ask.ts";
import { CALL_TIMEOUT_MS, withGateway } from "../connection/gateway.ts";

export default defineCommand({
  meta: {
    name: "delete",
    description: "Delete the policy for all sandboxes; each has its own again",
    examples: ["openshell policy delete --global"],
  },
  args: {
    global: { type: "boolean", description: "The policy for all sandboxes; only that one can be deleted" },
    yes: { type: "boolean", alias: "y", description: "Do not ask" },
  },
  run: ({ args, terminal, globals }) => {
    if (!args.global) {
      throw new OpenShellError("invalid_argument", "the policy of a sandbox cannot be deleted, only replaced", {
        next: "openshell policy delete --global, or openshell policy set NAME --policy FILE",
      });
    }
    return withGateway({ globals, terminal }, async (gateway) => {
      if (!args.yes && terminal.stdinIsTerminal && !(await confirm("Delete the policy for all sandboxes?", terminal))) return EXIT_ERROR;
      const request = { workspaceScope: gateway.scope, global: true, settingKey: "policy", deleteSetting: true };
      const { deleted } = await gateway.client.updateConfig(request, { timeoutMs: CALL_TIMEOUT_MS });
      terminal.out(
        deleted ? `${terminal.style.green("✓")} Each sandbox has its own policy again\n` : "There was no policy for all sandboxes.\n",
      );
      return EXIT_OK;
    });
  },
});
