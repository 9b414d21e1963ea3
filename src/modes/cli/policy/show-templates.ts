import { defineCommand } from "../../../command/define.ts";
import { type OutputFormat, outputArg, print } from "../../../command/output.ts";
import { renderTable } from "../../../command/table.ts";

export const templates = defineCommand({
  meta: {
    name: "templates",
    description: "List the policies that come with OpenShell",
    examples: ["openshell policy templates", "openshell sandbox create --policy-template python-dev,node-dev"],
  },
  args: { output: outputArg },
  run: async ({ args, terminal }) => {
    const { listTemplates } = await import("./templates.ts");
    const found = listTemplates();
    const rows = found.map(({ name, description }) => [name, description]);
    const table = () => renderTable(["NAME", "ALLOWS"], rows, terminal.style);
    await print(args.output as OutputFormat, { data: found, names: found.map(({ name }) => name), table }, terminal);
    return undefined;
  },
});

export const showTemplate = defineCommand({
  meta: {
    name: "show-template",
    description: "Print a template as a policy file, with the package indexes of your own configuration",
    examples: ["openshell policy show-template agent-coding > policy.yaml"],
  },
  args: { name: { type: "positional", valueHint: "NAME", description: "Template, or several with commas between" } },
  run: async ({ args, terminal }) => {
    const { templatePolicy } = await import("./templates.ts");
    const { formatPolicyYaml } = await import("../../../policy/yaml.ts");
    terminal.out(formatPolicyYaml(templatePolicy(args.name, terminal.env)));
    return undefined;
  },
});
