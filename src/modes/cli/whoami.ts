import { defineCommand } from "../../command/define.ts";
import { outputArg, print } from "../../command/output.ts";
import { printable } from "../../command/printable.ts";
import { renderFields } from "../../command/table.ts";
import { CALL_TIMEOUT_MS, withGateway } from "./connection/gateway.ts";

export default defineCommand({
  meta: { name: "whoami", description: "Show who the gateway takes you for", examples: ["openshell whoami"] },
  args: { output: outputArg },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async ({ client }) => {
      const { subject, displayName, roles, scopes, identityProvider } = await client.getCurrentUser({}, { timeoutMs: CALL_TIMEOUT_MS });
      const fields: [string, string][] = [
        ["Subject", printable(subject)],
        ["Name", printable(displayName || subject)],
        ["Roles", printable(roles.join(", ") || "-")],
        ["Scopes", printable(scopes.join(", ") || "-")],
        ["Identity", printable(identityProvider || "-")],
      ];
      const data = { subject, display_name: displayName, roles, scopes, identity_provider: identityProvider };
      await print(args.output, { data, names: [subject], table: () => renderFields(fields, terminal.style) }, terminal);
      return undefined;
    }),
});
