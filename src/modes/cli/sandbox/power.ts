import { type Command, defineCommand } from "../../../command/define.ts";
import { outputArg, print } from "../../../command/output.ts";
import { printable } from "../../../command/printable.ts";
import { CALL_TIMEOUT_MS, withGateway } from "../connection/gateway.ts";
import { rememberSandbox, sandboxName } from "../last-sandbox.ts";
import { optionalName } from "./arguments.ts";
import { phaseName, sandboxData } from "./view.ts";

function powerCommand(verb: "stop" | "start", description: string): Command {
  return defineCommand({
    meta: { name: verb, description, examples: [`openshell sandbox ${verb} work`] },
    args: { name: optionalName, output: outputArg },
    run: ({ args, terminal, globals }) =>
      withGateway({ globals, terminal }, async (gateway) => {
        const name = sandboxName(args.name, gateway, terminal);
        const request = { workspaceScope: gateway.scope, name };
        const options = { timeoutMs: CALL_TIMEOUT_MS };
        const { sandbox } =
          verb === "stop" ? await gateway.client.stopSandbox(request, options) : await gateway.client.startSandbox(request, options);
        rememberSandbox(name, gateway, terminal);
        const table = () =>
          `${terminal.style.green("✓")} Sandbox '${printable(name)}' is ${phaseName(sandbox?.status?.phase).toLowerCase()}\n`;
        await print(args.output, { data: sandbox === undefined ? {} : sandboxData(sandbox), names: [name], table }, terminal);
        return undefined;
      }),
  });
}

export const stop = powerCommand("stop", "Stop a sandbox; its files stay");
export const start = powerCommand("start", "Start a stopped sandbox again");
