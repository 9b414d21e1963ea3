import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Command, defineCommand } from "../../../command/define.ts";
import { outputArg, print } from "../../../command/output.ts";
import { printable } from "../../../command/printable.ts";
import { EXIT_OK } from "../../../command/report.ts";
import type { Terminal } from "../../../command/terminal.ts";
import {
  type GetSandboxProviderStatusRequestSchema,
  ProviderReadinessReason,
  ProviderReadinessState,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { CALL_TIMEOUT_MS, type Gateway, withGateway } from "../connection/gateway.ts";
import { sandboxName } from "../last-sandbox.ts";
import { providerData, providerTable } from "../provider/view.ts";
import { optionalName } from "./arguments.ts";

const options = { timeoutMs: CALL_TIMEOUT_MS };
const name = { type: "positional", valueHint: "NAME", description: "Sandbox" } as const;
const provider = { type: "positional", valueHint: "PROVIDER", description: "Provider" } as const;

/** How long a change may take until somebody is told that it has not come about, and how often we look. Milliseconds. */
const IN_FORCE_MS = 10_000;
const LOOK_MS = 50;

/** Returns when the supervisor works with the change; says so when it does not yet. */
async function inForce(client: Gateway["client"], request: GetSandboxProviderStatusRequestInit, terminal: Terminal): Promise<void> {
  const deadline = performance.now() + IN_FORCE_MS;
  while (performance.now() < deadline) {
    const { status } = await client.getSandboxProviderStatus(request, options);
    if (status?.reason === ProviderReadinessReason.WAITING_FOR_SUPERVISOR) break;
    if (status?.state !== ProviderReadinessState.PENDING) return;
    await Bun.sleep(LOOK_MS);
  }
  terminal.err("the sandbox's supervisor has not taken it yet; it will when it is connected\n");
}

type GetSandboxProviderStatusRequestInit = MessageInitShape<typeof GetSandboxProviderStatusRequestSchema>;

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
      const { attached, receipt } = await client.attachSandboxProvider(request, options);
      const what = attached ? "is attached to" : "was attached before to";
      terminal.out(`${terminal.style.green("✓")} Provider '${printable(args.provider)}' ${what} '${printable(args.name)}'\n`);
      if (attached) await inForce(client, { ...request, receiptId: receipt?.receiptId ?? "" }, terminal);
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
      const { detached, receipt } = await client.detachSandboxProvider(request, options);
      const what = detached ? "is taken from" : "was not attached to";
      terminal.out(`${terminal.style.green("✓")} Provider '${printable(args.provider)}' ${what} '${printable(args.name)}'\n`);
      if (detached) await inForce(client, { ...request, receiptId: receipt?.receiptId ?? "" }, terminal);
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
