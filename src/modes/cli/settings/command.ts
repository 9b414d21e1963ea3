import { type Command, defineCommand } from "../../../command/define.ts";
import { outputArg, print } from "../../../command/output.ts";
import { printable } from "../../../command/printable.ts";
import { EXIT_ERROR, EXIT_OK } from "../../../command/report.ts";
import { renderTable } from "../../../command/table.ts";
import type { Terminal } from "../../../command/terminal.ts";
import { SettingScope } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { confirm } from "../ask.ts";
import { CALL_TIMEOUT_MS, type Gateway, withGateway } from "../connection/gateway.ts";
import { sandboxName } from "../last-sandbox.ts";
import { optionalName } from "../sandbox/arguments.ts";
import { parseSetting, settingData } from "./value.ts";

const options = { timeoutMs: CALL_TIMEOUT_MS };
const global = { type: "boolean", description: "The default of all sandboxes" } as const;
const key = { type: "string", required: true, valueHint: "KEY", description: "Setting" } as const;
const yes = { type: "boolean", alias: "y", description: "Do not ask" } as const;

interface Row {
  readonly key: string;
  readonly value: string | number | boolean | null;
  readonly scope: string;
}

async function readSettings(sandbox: string | undefined, { client, scope }: Gateway): Promise<Row[]> {
  if (sandbox === undefined) {
    const { settings } = await client.getGatewayConfig({}, options);
    return Object.entries(settings).map(([name, value]) => ({
      key: name,
      value: settingData(value),
      scope: value.value.case === undefined ? "default" : "global",
    }));
  }
  const { settings } = await client.getSandboxConfig({ workspaceScope: scope, name: sandbox }, options);
  return Object.entries(settings).map(([name, setting]) => ({
    key: name,
    value: settingData(setting.value),
    scope: setting.scope === SettingScope.UNSPECIFIED ? "default" : (SettingScope[setting.scope] ?? "unknown").toLowerCase(),
  }));
}

const get = defineCommand({
  meta: { name: "get", description: "Show settings", examples: ["openshell settings get work", "openshell settings get --global"] },
  args: { name: optionalName, global, json: { type: "boolean", description: "The same as -o json" }, output: outputArg },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async (gateway) => {
      const rows = await readSettings(args.global ? undefined : sandboxName(args.name, gateway, terminal), gateway);
      rows.sort((a, b) => (a.key < b.key ? -1 : 1));
      const table = () =>
        renderTable(
          ["KEY", "VALUE", "SCOPE"],
          rows.map((row) => [row.key, row.value === null ? "-" : String(row.value), row.scope]),
          terminal.style,
        );
      const data = Object.fromEntries(rows.map((row) => [row.key, { value: row.value, scope: row.scope }]));
      await print(args.json ? "json" : args.output, { data, names: rows.map((row) => row.key), table }, terminal);
      return undefined;
    }),
});

/** A global change touches every sandbox: asked on a terminal. */
async function mayChange(isGlobal: boolean, isYes: boolean, terminal: Terminal): Promise<boolean> {
  return !isGlobal || isYes || !terminal.stdinIsTerminal || confirm("Change this setting for every sandbox?", terminal);
}

const set = defineCommand({
  meta: {
    name: "set",
    description: "Change a setting; it takes effect at once",
    examples: ["openshell settings set work --key hold_denied_seconds --value 30"],
  },
  args: { name: optionalName, key, value: { type: "string", required: true, valueHint: "VALUE", description: "New value" }, global, yes },
  run: async ({ args, terminal, globals }) => {
    const settingValue = parseSetting(args.key, args.value);
    return withGateway({ globals, terminal }, async (gateway) => {
      const sandbox = args.global ? "" : sandboxName(args.name, gateway, terminal);
      if (!(await mayChange(args.global ?? false, args.yes ?? false, terminal))) return EXIT_ERROR;
      const request = { workspaceScope: gateway.scope, sandbox, settingKey: args.key, settingValue, global: args.global ?? false };
      await gateway.client.updateConfig(request, options);
      terminal.out(`${terminal.style.green("✓")} ${printable(args.key)} = ${printable(args.value)}\n`);
      return EXIT_OK;
    });
  },
});

const remove = defineCommand({
  meta: { name: "delete", description: "Return a setting to its default", examples: ["openshell settings delete work --key draft_ttl"] },
  args: { name: optionalName, key, global, yes },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async (gateway) => {
      const sandbox = args.global ? "" : sandboxName(args.name, gateway, terminal);
      if (!(await mayChange(args.global ?? false, args.yes ?? false, terminal))) return EXIT_ERROR;
      const request = { workspaceScope: gateway.scope, sandbox, settingKey: args.key, deleteSetting: true, global: args.global ?? false };
      const { deleted } = await gateway.client.updateConfig(request, options);
      terminal.out(`${terminal.style.green("✓")} ${printable(args.key)} ${deleted ? "is back at its default" : "was not set"}\n`);
      return EXIT_OK;
    }),
});

/** `settings …` */
export const settings: Command = defineCommand({
  meta: { name: "settings", description: "Settings of a sandbox, or of all", examples: ["openshell settings get work"] },
  subCommands: { get, set, delete: remove },
});
