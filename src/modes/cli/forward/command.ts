import { defineCommand } from "../../../command/define.ts";
import { type OutputFormat, outputArg, print } from "../../../command/output.ts";
import { printable } from "../../../command/printable.ts";
import { renderTable } from "../../../command/table.ts";
import type { Terminal } from "../../../command/terminal.ts";
import { OpenShellError } from "../../../error.ts";
import { ownEnvironment, selfCommand } from "../../../reexec.ts";
import { type Gateway, type GatewayChoice, withGateway } from "../connection/gateway.ts";
import { rememberSandbox, sandboxName } from "../last-sandbox.ts";
import { openForward } from "./listener.ts";
import { LOOPBACK, looksLikePorts, type PortPair, parsePorts } from "./ports.ts";
import { type ForwardRecord, listForwards, registerForward, stopForward } from "./registry.ts";

const MAX_PORT = 65_535;

interface Wanted {
  readonly sandbox: string;
  readonly ports: PortPair;
  readonly host: string;
}

/** Forwards until it is told to stop. */
async function forwardHere(gateway: Gateway, terminal: Terminal, { sandbox, ports, host }: Wanted): Promise<number> {
  await using forward = await openForward(gateway, {
    sandbox,
    ports,
    host,
    failed: (reason) => terminal.err(`connection to port ${ports.remote}: ${printable(reason)}\n`),
  });
  const { bind, remote } = ports;
  // In the background nobody listens to it any more.
  process.stderr.on("error", () => {});
  const forget = registerForward(terminal.env, {
    sandbox,
    workspace: gateway.workspace,
    gateway: gateway.target.name,
    bind,
    local: forward.port,
    remote,
  });
  try {
    terminal.out(`${terminal.style.green("✓")} ${bind}:${forward.port} is port ${remote} of '${printable(sandbox)}'\n`);
    await new Promise<void>((stop) => {
      for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => stop());
    });
  } finally {
    forget();
  }
  return 0;
}

/** Starts the same command again without a terminal, and returns when it listens. */
async function forwardBehind({ globals, terminal }: GatewayChoice, { sandbox, ports, host }: Wanted): Promise<number> {
  const flags = ["gateway", "gateway-endpoint", "workspace"].flatMap((name) => {
    const value = globals[name];
    return typeof value === "string" && value !== "" ? [`--${name}`, value] : [];
  });
  const words = [
    "forward",
    "service",
    sandbox,
    "--target-port",
    String(ports.remote),
    "--target-host",
    host,
    "--local",
    `${bracketed(ports.bind)}:${ports.local}`,
  ];
  const child = Bun.spawn({
    cmd: [...selfCommand(), ...flags, ...words],
    cwd: "/",
    env: ownEnvironment(directoriesOf(terminal.env)),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    detached: true,
  });
  const reader = child.stdout.getReader();
  const first = await reader.read();
  if (first.done) {
    terminal.err(await new Response(child.stderr).text());
    return (await child.exited) || 1;
  }
  terminal.out(new TextDecoder().decode(first.value));
  child.unref();
  return 0;
}

/** `sandbox create --forward`. Throws when the port cannot be forwarded. */
export async function forwardInBackground(choice: GatewayChoice, sandbox: string, ports: string): Promise<void> {
  const code = await forwardBehind(choice, { sandbox, ports: parsePorts(ports), host: LOOPBACK });
  if (code !== 0)
    throw new OpenShellError("failed_precondition", `port ${ports} is not forwarded`, {
      next: `openshell forward start ${ports} ${sandbox}`,
    });
}

/** What a command of ours takes from the person's environment to find its files. */
function directoriesOf(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const names = ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "OPENSHELL_SYSTEM_GATEWAY_DIR", "NO_COLOR"];
  return Object.fromEntries(names.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
}

function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

/** The published client has the port first, and the sandbox may be left out; either order is understood. */
function ordered(first: string, second: string | undefined): { ports: string; name: string | undefined } {
  if (second === undefined || looksLikePorts(first)) return { ports: first, name: second };
  return { ports: second, name: first };
}

const start = defineCommand({
  meta: {
    name: "start",
    description: "Make a port of a sandbox's loopback one of this machine's",
    examples: [
      "openshell forward start 8080 work          # until interrupted",
      "openshell forward start work 8080:9090 -d  # in the background, on port 9090 here",
      "openshell forward start 0.0.0.0:8080 work  # for other machines too",
    ],
  },
  args: {
    port: { type: "positional", valueHint: "PORT", description: "Port, PORT:LOCAL, or BIND:PORT" },
    name: { type: "positional", required: false, valueHint: "NAME", description: "Sandbox; the last one used when left out" },
    background: { type: "boolean", alias: "d", description: "Return when it listens; forward stop ends it" },
  },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async (gateway) => {
      const { ports, name } = ordered(args.port, args.name);
      const wanted = { ports: parsePorts(ports), sandbox: sandboxName(name, gateway, terminal), host: LOOPBACK };
      rememberSandbox(wanted.sandbox, gateway, terminal);
      return args.background ? forwardBehind({ globals, terminal }, wanted) : forwardHere(gateway, terminal, wanted);
    }),
});

const service = defineCommand({
  meta: {
    name: "service",
    description: "Forward to a service in a sandbox, with every part named",
    examples: ["openshell forward service work --target-port 5432 --local 127.0.0.1:15432"],
  },
  args: {
    name: { type: "positional", required: false, valueHint: "NAME", description: "Sandbox; the last one used when left out" },
    "target-port": {
      type: "string",
      integer: { min: 1, max: MAX_PORT },
      required: true,
      valueHint: "PORT",
      description: "Port in the sandbox",
    },
    "target-host": { type: "string", default: LOOPBACK, valueHint: "HOST", description: "Its loopback: 127.0.0.1, localhost or ::1" },
    local: { type: "string", valueHint: "[BIND:]PORT", description: "Port here (default: the same; 0 takes any)" },
  },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async (gateway) => {
      const remote = Number(args["target-port"]);
      const ports = { ...localSide(args.local, remote), remote };
      return forwardHere(gateway, terminal, { sandbox: sandboxName(args.name, gateway, terminal), ports, host: args["target-host"] });
    }),
});

function localSide(text: string | undefined, same: number): { bind: string; local: number } {
  if (text === undefined) return { bind: LOOPBACK, local: same };
  const cut = text.lastIndexOf(":");
  const port = text.slice(cut + 1);
  const any = port === "0" ? { ...parsePorts(cut < 0 ? "1" : `${text.slice(0, cut)}:1`), local: 0 } : parsePorts(text);
  return { bind: any.bind, local: any.local };
}

function describe({ sandbox, workspace, gateway, bind, local, remote, pid }: ForwardRecord) {
  return { sandbox, workspace, gateway, bind, local_port: local, port: remote, pid };
}

const list = defineCommand({
  meta: {
    name: "list",
    description: "List the forwards that run",
    alias: "ls",
    examples: ["openshell forward list", "openshell forward list -o json"],
  },
  args: { output: outputArg },
  run: async ({ args, terminal }) => {
    const found = listForwards(terminal.env);
    await print(
      args.output as OutputFormat,
      {
        data: found.map(describe),
        names: found.map(({ local }) => String(local)),
        table: () =>
          found.length === 0
            ? "No forwards.\n"
            : renderTable(
                ["LOCAL", "SANDBOX", "PORT", "PID"],
                found.map(({ bind, local, sandbox, remote, pid }) => [`${bracketed(bind)}:${local}`, sandbox, String(remote), String(pid)]),
                terminal.style,
              ),
      },
      terminal,
    );
    return 0;
  },
});

const stop = defineCommand({
  meta: { name: "stop", description: "End a forward", examples: ["openshell forward stop 8080", "openshell forward stop 8080 work"] },
  args: {
    port: { type: "positional", valueHint: "PORT", description: "Its port here, or in the sandbox" },
    name: { type: "positional", required: false, valueHint: "NAME", description: "Sandbox, where several have the port" },
  },
  run: ({ args, terminal }) => {
    const { ports, name } = ordered(args.port, args.name);
    const { local, remote } = parsePorts(ports);
    const here = listForwards(terminal.env).filter(({ sandbox }) => name === undefined || sandbox === name);
    const byLocal = here.filter((record) => record.local === local);
    const found = byLocal.length > 0 ? byLocal : here.filter((record) => record.remote === remote);
    if (found.length === 0) {
      throw new OpenShellError("not_found", `no forward of port ${local} runs`, { next: "openshell forward list" });
    }
    for (const record of found) {
      stopForward(terminal.env, record);
      terminal.out(`${terminal.style.green("✓")} Port ${record.local} is no longer forwarded\n`);
    }
    return 0;
  },
});

export const forward = defineCommand({
  meta: {
    name: "forward",
    description: "Ports of sandboxes on this machine",
    alias: "fwd",
    examples: ["openshell forward start 8080 work"],
  },
  subCommands: { start, stop, list, service },
});
