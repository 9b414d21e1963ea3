import { defineCommand } from "../../../command/define.ts";
import { outputArg, print } from "../../../command/output.ts";
import { OpenShellError } from "../../../error.ts";
import { CALL_TIMEOUT_MS, withGateway } from "../connection/gateway.ts";
import { modelNote, modelText } from "../inference/note.ts";
import { sandboxName } from "../last-sandbox.ts";
import { optionalName } from "./arguments.ts";
import { sandboxData, sandboxDetails } from "./view.ts";

export default defineCommand({
  meta: {
    name: "get",
    description: "Show one sandbox: phase, reasons, what is enforced",
    examples: ["openshell sandbox get work", "openshell sandbox get work -o yaml"],
  },
  args: { name: optionalName, output: outputArg },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async (gateway) => {
      const name = sandboxName(args.name, gateway, terminal);
      const { sandbox } = await gateway.client.getSandbox({ workspaceScope: gateway.scope, name }, { timeoutMs: CALL_TIMEOUT_MS });
      if (sandbox === undefined) throw new OpenShellError("internal", "the gateway answered without a sandbox");
      const models = await modelNote(sandbox, gateway);
      const data = { ...sandboxData(sandbox), ...(models === undefined ? {} : { inference: models }) };
      const table = () => sandboxDetails(sandbox, terminal.style) + (models === undefined ? "" : modelText(models));
      await print(args.output, { data, names: [name], table }, terminal);
      return undefined;
    }),
});
