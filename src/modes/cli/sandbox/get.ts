import { defineCommand } from "../../../command/define.ts";
import { asciiYaml, outputArg, print } from "../../../command/output.ts";
import { OpenShellError } from "../../../error.ts";
import { CALL_TIMEOUT_MS, withGateway } from "../connection/gateway.ts";
import { modelNote, modelText } from "../inference/note.ts";
import { rememberSandbox, sandboxName } from "../last-sandbox.ts";
import { authoredPolicy } from "../policy/view.ts";
import { optionalName } from "./arguments.ts";
import { sandboxData, sandboxDetails } from "./view.ts";

export default defineCommand({
  meta: {
    name: "get",
    description: "Show one sandbox: phase, reasons, what is enforced",
    examples: ["openshell sandbox get work", "openshell sandbox get work -o yaml"],
  },
  args: {
    name: optionalName,
    "policy-only": { type: "boolean", description: "Its policy in effect as YAML, and nothing else" },
    output: outputArg,
  },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async (gateway) => {
      const name = sandboxName(args.name, gateway, terminal);
      rememberSandbox(name, gateway, terminal);
      if (args["policy-only"]) {
        const { policy } = await gateway.client.getSandboxConfig({ workspaceScope: gateway.scope, name }, { timeoutMs: CALL_TIMEOUT_MS });
        if (policy === undefined)
          throw new OpenShellError("not_found", `sandbox '${name}' has no policy yet`, { next: `openshell sandbox get ${name}` });
        terminal.out(await asciiYaml(await authoredPolicy(policy)));
        return undefined;
      }
      const { sandbox } = await gateway.client.getSandbox({ workspaceScope: gateway.scope, name }, { timeoutMs: CALL_TIMEOUT_MS });
      if (sandbox === undefined) throw new OpenShellError("internal", "the gateway answered without a sandbox");
      const models = await modelNote(sandbox, gateway);
      const data = { ...sandboxData(sandbox), ...(models === undefined ? {} : { inference: models }) };
      const table = () => sandboxDetails(sandbox, terminal.style) + (models === undefined ? "" : modelText(models));
      await print(args.output, { data, names: [name], table }, terminal);
      return undefined;
    }),
});
