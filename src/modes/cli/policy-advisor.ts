import { type Command, defineCommand } from "../../command/define.ts";
import { outputArg, print } from "../../command/output.ts";
import { printable } from "../../command/printable.ts";
import { renderFields } from "../../command/table.ts";
import { OpenShellError } from "../../error.ts";
import { SettingScope } from "../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { CALL_TIMEOUT_MS, withGateway } from "./connection/gateway.ts";
import { sandboxName } from "./last-sandbox.ts";
import { optionalName } from "./sandbox/arguments.ts";

const options = { timeoutMs: CALL_TIMEOUT_MS };
const global = { type: "boolean", description: "For all sandboxes" } as const;

function switchCommand(verb: "enable" | "disable", description: string): Command {
  return defineCommand({
    meta: { name: verb, description, examples: [`openshell policy-advisor ${verb} work`, `openshell policy-advisor ${verb} --global`] },
    args: { name: optionalName, global },
    run: ({ args, terminal, globals }) =>
      withGateway({ globals, terminal }, async (gateway) => {
        if (args.global && args.name !== undefined)
          throw new OpenShellError("invalid_argument", "--global and a sandbox exclude each other");
        const sandbox = args.global ? "" : sandboxName(args.name, gateway, terminal);
        const value = verb === "enable" ? "rules" : "off";
        await gateway.client.updateConfig(
          {
            workspaceScope: gateway.scope,
            sandbox,
            settingKey: "policy_advisor",
            settingValue: { value: { case: "stringValue", value } },
            global: args.global ?? false,
          },
          options,
        );
        const where = args.global ? "all sandboxes" : `sandbox '${printable(sandbox)}'`;
        terminal.out(`${terminal.style.green("✓")} Policy advisor is ${verb === "enable" ? "on" : "off"} for ${where}\n`);
        return undefined;
      }),
  });
}

const status = defineCommand({
  meta: {
    name: "status",
    description: "Show whether proposals are made, and how many wait",
    examples: ["openshell policy-advisor status work"],
  },
  args: { name: optionalName, output: outputArg },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async (gateway) => {
      const sandbox = sandboxName(args.name, gateway, terminal);
      const found = await gateway.client.getPolicyAdvisorStatus({ workspaceScope: gateway.scope, sandbox }, options);
      const scope = found.scope === SettingScope.UNSPECIFIED ? "default" : (SettingScope[found.scope] ?? "unknown").toLowerCase();
      const data = { sandbox, mode: found.mode, scope, pending_chunks: found.pendingChunks, overflow_count: Number(found.overflowCount) };
      const table = () =>
        renderFields(
          [
            ["Sandbox", printable(sandbox)],
            ["Mode", `${printable(found.mode)} (${scope})`],
            ["Pending", String(found.pendingChunks)],
            ["Overflow", String(found.overflowCount)],
          ],
          terminal.style,
        );
      await print(args.output, { data, names: [found.mode], table }, terminal);
      return undefined;
    }),
});

/** `policy-advisor …` */
export const policyAdvisor: Command = defineCommand({
  meta: {
    name: "policy-advisor",
    description: "Proposals from denials: on, off, status",
    examples: ["openshell policy-advisor enable work"],
  },
  subCommands: {
    enable: switchCommand("enable", "Propose rules for what is denied"),
    disable: switchCommand("disable", "Make no proposals"),
    status,
  },
});
