import { realpathSync } from "node:fs";
import { defineCommand } from "../../../command/define.ts";
import { type OutputFormat, outputArg, print } from "../../../command/output.ts";
import { printable } from "../../../command/printable.ts";
import { EXIT_ERROR, EXIT_OK } from "../../../command/report.ts";
import { renderFields } from "../../../command/table.ts";
import { OpenShellError } from "../../../error.ts";
import { localGateway, startGateway, stopGateway, systemdUnit } from "./local.ts";

export const start = defineCommand({
  meta: {
    name: "start",
    description: "Start a gateway on this machine in the background",
    examples: [
      "openshell gateway start",
      "openshell gateway start --port 0 --trusted-cidr 10.0.0.0/8",
      "openshell gateway start --systemd-unit > /etc/systemd/system/openshell-gateway.service",
    ],
  },
  args: {
    detach: {
      type: "boolean",
      default: true,
      description: "Return when it is ready",
      negativeDescription: "--no-detach: use gateway serve",
    },
    port: { type: "string", integer: { min: 0, max: 65_535 }, valueHint: "PORT", description: "Port of the API; 0 takes any free one" },
    "trusted-cidr": {
      type: "string",
      multiple: true,
      valueHint: "CIDR",
      description: "Private addresses that allowed names may resolve to",
    },
    "allow-mount": { type: "string", multiple: true, valueHint: "PREFIX", description: "Paths of the host that sandboxes may mount" },
    "systemd-unit": { type: "boolean", description: "Print a systemd unit instead" },
  },
  run: async ({ args, terminal }) => {
    if (args["systemd-unit"]) {
      terminal.out(systemdUnit(realpathSync("/proc/self/exe")));
      return EXIT_OK;
    }
    if (!args.detach)
      throw new OpenShellError("invalid_argument", "a gateway in the foreground is another command", { next: "openshell gateway serve" });
    const flags = [
      ...(args.port === undefined ? [] : ["--port", String(args.port)]),
      ...args["trusted-cidr"].flatMap((cidr) => ["--trusted-cidr", cidr]),
      ...args["allow-mount"].flatMap((prefix) => ["--allow-mount", prefix]),
    ];
    const pid = await startGateway(terminal.env, flags);
    terminal.out(`${terminal.style.green("✓")} The gateway runs (pid ${pid}); openshell gateway stop ends it\n`);
    return EXIT_OK;
  },
});

export const stop = defineCommand({
  meta: {
    name: "stop",
    description: "Stop the gateway of this machine; sandboxes go on and are found again",
    examples: ["openshell gateway stop"],
  },
  args: {},
  run: async ({ terminal }) => {
    const stopped = await stopGateway(terminal.env);
    terminal.out(stopped ? `${terminal.style.green("✓")} The gateway is stopped; its sandboxes go on\n` : "No gateway runs here.\n");
    return EXIT_OK;
  },
});

export const status = defineCommand({
  meta: {
    name: "status",
    description: "Show whether a gateway runs on this machine; exit code 1 when not",
    examples: ["openshell gateway status"],
  },
  args: { output: outputArg },
  run: async ({ args, terminal }) => {
    const { pid, stateDirectory, logFile } = localGateway(terminal.env);
    const fields: [string, string][] = [
      ["Status", pid === undefined ? terminal.style.red("Stopped") : terminal.style.green("Running")],
      ...(pid === undefined ? [] : [["Pid", String(pid)] as [string, string]]),
      ["State", printable(stateDirectory)],
      ["Log", printable(logFile)],
    ];
    const data = { running: pid !== undefined, pid: pid ?? null, state_directory: stateDirectory, log_file: logFile };
    await print(
      args.output as OutputFormat,
      { data, names: pid === undefined ? [] : [String(pid)], table: () => renderFields(fields, terminal.style) },
      terminal,
    );
    return pid === undefined ? EXIT_ERROR : EXIT_OK;
  },
});
