import { type Command, defineCommand, lazyCommand, type Subcommand } from "../../command/define.ts";
import { runCommand } from "../../command/run.ts";
import { processTerminal, type Terminal } from "../../command/terminal.ts";
import { VERSION } from "../../version.ts";
import { globalArgs } from "./globals.ts";

const NAME = "openshell";

/** Commands of the other modes, which main.ts imports when they are asked for. */
export interface LazyModes {
  readonly gatewayServe: () => Promise<Command>;
  readonly sandboxRun: () => Promise<Command>;
  readonly doctor: () => Promise<Command>;
}

function sandboxCommands(modes: LazyModes): Readonly<Record<string, Subcommand>> {
  return {
    create: lazyCommand(
      { description: "Create a sandbox, and run a command in it" },
      async () => (await import("./sandbox/create.ts")).default,
    ),
    list: lazyCommand({ description: "List sandboxes", alias: "ls" }, async () => (await import("./sandbox/list.ts")).default),
    get: lazyCommand({ description: "Show one sandbox" }, async () => (await import("./sandbox/get.ts")).default),
    exec: lazyCommand({ description: "Run a command in a sandbox" }, async () => (await import("./sandbox/exec.ts")).default),
    connect: lazyCommand({ description: "Open a shell in a sandbox" }, async () => (await import("./enter/connect.ts")).default),
    "ssh-config": lazyCommand(
      { description: "Print an ssh configuration for a sandbox" },
      async () => (await import("./enter/ssh-config.ts")).default,
    ),
    upload: lazyCommand({ description: "Copy files into a sandbox" }, async () => (await import("./copy/upload.ts")).default),
    download: lazyCommand({ description: "Copy files out of a sandbox" }, async () => (await import("./copy/download.ts")).default),
    draft: lazyCommand({ description: "Show and decide proposals" }, async () => (await import("./draft/command.ts")).draft),
    provider: lazyCommand(
      { description: "Which providers a sandbox may use" },
      async () => (await import("./sandbox/provider.ts")).sandboxProvider,
    ),
    stop: lazyCommand({ description: "Stop a sandbox; its files stay" }, async () => (await import("./sandbox/power.ts")).stop),
    start: lazyCommand({ description: "Start a stopped sandbox again" }, async () => (await import("./sandbox/power.ts")).start),
    delete: lazyCommand({ description: "Delete sandboxes", alias: "rm" }, async () => (await import("./sandbox/delete.ts")).default),
    run: lazyCommand({ description: "Confine one command here, without a gateway" }, modes.sandboxRun),
  };
}

function gatewayCommands(modes: LazyModes): Readonly<Record<string, Subcommand>> {
  const commands = () => import("./gateways/commands.ts");
  return {
    serve: lazyCommand({ description: "Run a gateway in the foreground" }, modes.gatewayServe),
    start: lazyCommand({ description: "Start a gateway in the background" }, async () => (await import("./gateways/power.ts")).start),
    stop: lazyCommand({ description: "Stop the gateway of this machine" }, async () => (await import("./gateways/power.ts")).stop),
    status: lazyCommand(
      { description: "Show whether a gateway runs on this machine" },
      async () => (await import("./gateways/power.ts")).status,
    ),
    list: lazyCommand({ description: "List registered gateways" }, async () => (await commands()).list),
    select: lazyCommand({ description: "Make a gateway the one that commands use" }, async () => (await commands()).select),
    info: lazyCommand({ description: "Show how a gateway is registered" }, async () => (await commands()).info),
    add: lazyCommand({ description: "Register a gateway" }, async () => (await commands()).add),
    remove: lazyCommand({ description: "Forget a gateway" }, async () => (await commands()).remove),
  };
}

/** The whole command tree; nothing is imported before it is needed, so that help starts at once. */
export function createRoot(modes: LazyModes): Command {
  const root: Command = defineCommand({
    meta: {
      name: NAME,
      description: "A safe runtime for autonomous AI agents",
      examples: [
        "openshell gateway serve                          # in one terminal",
        "openshell sandbox create --name work -- claude   # in another",
        "openshell sandbox draft work                     # what was denied, and what would allow it",
        "openshell sandbox draft approve work ID --wait",
        "openshell sandbox run --policy policy.yaml -- curl https://example.com   # no gateway",
      ],
    },
    args: globalArgs,
    subCommands: {
      sandbox: group("sandbox", "Sandboxes: create, enter, decide, delete", "sb", ["openshell sandbox list"], sandboxCommands(modes)),
      policy: lazyCommand(
        { description: "Policies: show, set, check, explain", alias: "pol" },
        async () => (await import("./policy/command.ts")).policy,
      ),
      "policy-advisor": lazyCommand(
        { description: "Proposals from denials: on, off, status" },
        async () => (await import("./policy-advisor.ts")).policyAdvisor,
      ),
      rule: lazyCommand(
        { description: "Proposals, with the flags of earlier clients", alias: "rl", hidden: true },
        async () => (await import("./draft/command.ts")).rule,
      ),
      logs: lazyCommand({ description: "Show what happened in a sandbox", alias: "lg" }, async () => (await import("./logs.ts")).default),
      provider: lazyCommand(
        { description: "Credentials of services, for sandboxes to use without seeing them" },
        async () => (await import("./provider/command.ts")).providers,
      ),
      inference: lazyCommand(
        { description: "Which model answers at https://inference.local" },
        async () => (await import("./inference/command.ts")).inference,
      ),
      settings: lazyCommand(
        { description: "Settings of a sandbox, or of all" },
        async () => (await import("./settings/command.ts")).settings,
      ),
      gateway: group("gateway", "Gateways: serve, register, select", "gw", ["openshell gateway serve"], gatewayCommands(modes)),
      forward: lazyCommand(
        { description: "Ports of sandboxes on this machine", alias: "fwd" },
        async () => (await import("./forward/command.ts")).forward,
      ),
      status: lazyCommand(
        { description: "Show which gateway is used and whether it answers" },
        async () => (await import("./status.ts")).default,
      ),
      doctor: lazyCommand({ description: "Show what this machine lets a sandbox enforce", alias: "dr" }, modes.doctor),
      whoami: lazyCommand({ description: "Show who the gateway takes you for" }, async () => (await import("./whoami.ts")).default),
      completions: lazyCommand(
        { description: "Print completions for a shell" },
        async () => (await import("./completion/command.ts")).completions,
      ),
      "ssh-proxy": lazyCommand(
        { description: "Join standard input and output to a sandbox's SSH server", hidden: true },
        async () => (await import("./enter/ssh-proxy.ts")).default,
      ),
      "ssh-host-key": lazyCommand(
        { description: "Vouch for the key of a sandbox's SSH server", hidden: true },
        async () => (await import("./enter/ssh-host-key.ts")).default,
      ),
      // The published client's old name for the same commands.
      cluster: group(
        "cluster",
        "Earlier names of commands",
        undefined,
        ["openshell cluster policy-advisor enable work"],
        {
          "policy-advisor": lazyCommand(
            { description: "See: openshell policy-advisor" },
            async () => (await import("./policy-advisor.ts")).policyAdvisor,
          ),
          inference: lazyCommand(
            { description: "See: openshell inference" },
            async () => (await import("./inference/command.ts")).inference,
          ),
        },
        true,
      ),
      complete: lazyCommand({ description: "Candidates for a shell", hidden: true }, async () =>
        (await import("./completion/command.ts")).complete(root),
      ),
    },
  });
  return root;
}

function group(
  name: string,
  description: string,
  alias: string | undefined,
  examples: readonly string[],
  subCommands: Readonly<Record<string, Subcommand>>,
  hidden = false,
): Subcommand {
  const meta = { name, description, examples, hidden, ...(alias === undefined ? {} : { alias }) };
  return lazyCommand(meta, async () => defineCommand({ meta, subCommands }));
}

/** Runs one command line and answers its exit code; `argv` is without the program's name. */
export async function runRoot(root: Command, argv: readonly string[], terminal: Terminal = processTerminal()): Promise<number> {
  if (argv.length === 1 && (argv[0] === "--version" || argv[0] === "-V")) {
    terminal.out(`${NAME} ${VERSION}\n`);
    return 0;
  }
  return runCommand(root, NAME, argv, terminal);
}
