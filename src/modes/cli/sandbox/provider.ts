import { type Command, defineCommand } from "../../../command/define.ts";
import { outputArg, print } from "../../../command/output.ts";
import { printable } from "../../../command/printable.ts";
import { EXIT_OK } from "../../../command/report.ts";
import { CALL_TIMEOUT_MS, withGateway } from "../connection/gateway.ts";
import { sandboxName } from "../last-sandbox.ts";
import { providerData, providerTable } from "../provider/view.ts";
import { optionalName } from "./arguments.ts";

const options = { timeoutMs: CALL_TIMEOUT_MS };
const name = { type: "positional", valueHint: "NAME", description: "Sandbox" } as const;
const provider = { type: "positional", valueHint: "PROVIDER", description: "Provider" } as const;

const list = defineCommand({
  meta: { name: "list", description: "List the providers of a sandbox", examples: ["openshell sandbox provider list work"] },
  args: { name: optionalName, output: outputArg },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async (gateway) => {
      const sandbox = sandboxName(args.name, gateway, terminal);
      const { providers } = await gateway.client.listSandboxProviders({ workspaceScope: gateway.scope, sandbox }, options);
      const names = providers.map(({ metadata }) => metadata?.name ?? "");
      const table = () => providerTable(providers, terminal.style);
      await print(args.output, { data: providers.map(providerData), names, table }, terminal);
      return undefined;
    }),
});

const attach = defineCommand({
  meta: {
    name: "attach",
    description: "Let a running sandbox use a provider: requests at once, variables in programs that start from now on",
    examples: ["openshell sandbox provider attach work github"],
  },
  args: { name, provider },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async ({ client, scope }) => {
      const request = { workspaceScope: scope, sandbox: args.name, provider: args.provider };
      const { attached } = await client.attachSandboxProvider(request, options);
      const what = attached ? "is attached to" : "was attached before to";
      terminal.out(`${terminal.style.green("✓")} Provider '${printable(args.provider)}' ${what} '${printable(args.name)}'\n`);
      return EXIT_OK;
    }),
});

const detach = defineCommand({
  meta: {
    name: "detach",
    description: "Take a provider from a sandbox; its credentials work no more",
    examples: ["openshell sandbox provider detach work github"],
  },
  args: { name, provider },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async ({ client, scope }) => {
      const request = { workspaceScope: scope, sandbox: args.name, provider: args.provider };
      const { detached } = await client.detachSandboxProvider(request, options);
      const what = detached ? "is taken from" : "was not attached to";
      terminal.out(`${terminal.style.green("✓")} Provider '${printable(args.provider)}' ${what} '${printable(args.name)}'\n`);
      return EXIT_OK;
    }),
});

/** `sandbox provider …` */
export const sandboxProvider: Command = defineCommand({
  meta: {
    name: "provider",
    description: "Which providers a sandbox may use",
    examples: ["openshell sandbox provider attach work github"],
  },
  subCommands: { list, attach, detach },
});
