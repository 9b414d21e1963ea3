import { type Command, defineCommand } from "../../../command/define.ts";
import { printable } from "../../../command/printable.ts";
import { type GatewayChoice, withGateway } from "../connection/gateway.ts";
import { listRegistrations } from "../connection/registry.ts";
import { globalArgs } from "../globals.ts";
import { candidates, type DynamicKind } from "./candidates.ts";
import { scripts } from "./scripts.ts";

/** A person is waiting for the Tab key: names that take longer are not offered. */
const TAB_TIMEOUT_MS = 1500;

/** Shells expand what they are offered, so a name from elsewhere must not hold anything that one could act on. */
const PLAIN_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

export const completions = defineCommand({
  meta: {
    name: "completions",
    description: "Print completions for a shell",
    examples: ["source <(openshell completions bash)", "openshell completions fish | source"],
  },
  args: { shell: { type: "positional", valueHint: "SHELL", description: "bash, zsh or fish" } },
  run: async ({ args, terminal }) => {
    const { enumValue } = await import("../../../command/values.ts");
    const shell = enumValue("SHELL", args.shell, Object.keys(scripts), ["openshell", "completions"]) as keyof typeof scripts;
    terminal.out(scripts[shell]);
    return undefined;
  },
});

async function dynamicNames(kind: DynamicKind, choice: GatewayChoice): Promise<string[]> {
  if (kind === "gateway") return listRegistrations(choice.terminal.env).map(({ name }) => name);
  if (kind === "template") return (await import("../policy/templates.ts")).listTemplates().map(({ name }) => name);
  if (kind === "provider") {
    const { listProviders } = await import("../provider/command.ts");
    return withGateway(choice, async (gateway) =>
      (await listProviders(gateway, TAB_TIMEOUT_MS)).map(({ metadata }) => metadata?.name ?? ""),
    );
  }
  const { listSandboxes } = await import("../sandbox/list.ts");
  return withGateway(choice, async (gateway) =>
    (await listSandboxes(gateway, { timeoutMs: TAB_TIMEOUT_MS })).map(({ metadata }) => metadata?.name ?? ""),
  );
}

/** The gateway and workspace flags among the words that are being completed. */
function globalsIn(words: readonly string[], env: Readonly<Record<string, string | undefined>>): Record<string, unknown> {
  const globals: Record<string, unknown> = {};
  for (const name of ["gateway", "gateway-endpoint", "workspace"] as const) {
    const at = words.findIndex((word) => word === `--${name}` || (name === "gateway" && word === "-g"));
    globals[name] = at === -1 ? env[globalArgs[name].env] : words[at + 1];
  }
  return globals;
}

/** Prints candidates, one per line; `:files` asks the shell for files. Never an error: a shell that completes shows none. */
export function complete(root: Command): Command {
  return defineCommand({
    meta: { name: "complete", description: "Candidates for the last word", examples: ["openshell complete -- sandbox dra"] },
    args: {
      words: {
        type: "positional",
        multiple: true,
        required: false,
        terminator: "required",
        valueHint: "WORD",
        description: "Words so far",
      },
    },
    run: async ({ args, terminal }) => {
      const found = await candidates(root, args.words);
      const current = args.words[args.words.length - 1] ?? "";
      const names = [...found.words];
      if (found.dynamic !== undefined) {
        try {
          const dynamic = await dynamicNames(found.dynamic, { globals: globalsIn(args.words, terminal.env), terminal });
          names.push(...dynamic.filter((name) => PLAIN_NAME.test(name)));
        } catch {
          // No gateway: there is nothing to offer, and a completion has nobody to tell.
        }
      }
      const matching = names.filter((name) => name.startsWith(current)).map(printable);
      if (found.files && matching.length === 0) matching.push(":files");
      terminal.out(matching.map((name) => `${name}\n`).join(""));
      return undefined;
    },
  });
}
