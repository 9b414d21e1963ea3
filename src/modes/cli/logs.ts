import { toJson } from "@bufbuild/protobuf";
import { timestampDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { defineCommand } from "../../command/define.ts";
import { asciiJson, asciiYaml } from "../../command/output.ts";
import { printable } from "../../command/printable.ts";
import type { Terminal } from "../../command/terminal.ts";
import { durationValue } from "../../command/values.ts";
import { type SandboxLogLine, SandboxLogLineSchema } from "../../rpc/gen/openshell/v1/openshell_pb.ts";
import { CALL_TIMEOUT_MS, withGateway } from "./connection/gateway.ts";
import { rememberSandbox, sandboxName } from "./last-sandbox.ts";
import { optionalName } from "./sandbox/arguments.ts";

/** What the gateway keeps per sandbox in memory. */
const MAX_LINES = 2000;

/** Milliseconds since the epoch. */
function timeOf({ eventTime }: SandboxLogLine): number {
  return eventTime === undefined ? 0 : timestampDate(eventTime).getTime();
}

/** `[secs.millis] [source ] [LEVEL] [target] message k=v`, as the published client prints it; always one line. */
export function formatLogLine(line: SandboxLogLine): string {
  const ms = timeOf(line);
  const time = `${Math.floor(ms / 1000)}.${String(ms % 1000).padStart(3, "0")}`;
  // The text of an event says what its fields say.
  const fields = Object.entries(line.target === "ocsf" ? {} : line.fields)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => ` ${key}=${value}`)
    .join("");
  return printable(
    `[${time}] [${(line.source || "gateway").padEnd(7)}] [${line.level.padEnd(5)}] [${line.target}] ${line.message}${fields}`,
  );
}

function byTime(a: SandboxLogLine, b: SandboxLogLine): number {
  return timeOf(a) - timeOf(b);
}

/** Writes one line at a time: as text, as a line of JSON, or as a YAML document. */
function writer(output: string, terminal: Terminal): (line: SandboxLogLine) => Promise<void> {
  const data = (line: SandboxLogLine) => toJson(SandboxLogLineSchema, line, { useProtoFieldName: true });
  if (output === "yaml") return async (line) => terminal.out(`---\n${await asciiYaml(data(line))}`);
  return async (line) => terminal.out(`${output === "json" ? asciiJson(data(line)) : formatLogLine(line)}\n`);
}

export default defineCommand({
  meta: {
    name: "logs",
    description: "Show what happened in a sandbox: decisions, denials, configuration",
    examples: ["openshell logs work --since 5m", "openshell logs work --tail --source sandbox --level WARN", "openshell logs work -o json"],
  },
  args: {
    name: optionalName,
    lines: {
      type: "string",
      alias: "n",
      integer: { min: 1, max: MAX_LINES, default: 200 },
      valueHint: "N",
      description: "At most this many of the last lines",
    },
    tail: { type: "boolean", alias: "f", description: "Follow until Ctrl-C" },
    since: { type: "string", valueHint: "TIME", description: "Not older than this: 90s, 5m, 2h, 1d" },
    source: { type: "string", multiple: true, valueHint: "SOURCE", description: "gateway, sandbox or all" },
    level: { type: "enum", options: ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"], description: "This level and what is more severe" },
    output: {
      type: "enum",
      alias: "o",
      options: ["table", "json", "yaml"],
      default: "table",
      description: "Lines, one JSON object per line, or one YAML document per line",
    },
  },
  run: ({ args, terminal, globals }) => {
    const since =
      args.since === undefined ? undefined : timestampFromMs(Date.now() - durationValue("--since", args.since, ["openshell", "logs"]));
    const sources = args.source.filter((source) => source !== "all");
    const write = writer(args.output, terminal);
    return withGateway({ globals, terminal }, async (gateway) => {
      const sandbox = sandboxName(args.name, gateway, terminal);
      const common = { workspaceScope: gateway.scope, sandbox, ...(since === undefined ? {} : { sinceTime: since }) };
      rememberSandbox(sandbox, gateway, terminal);
      if (args.tail) {
        const request = { ...common, followLogs: true, logTailLines: args.lines, logSources: sources, logMinLevel: args.level ?? "" };
        for await (const { payload } of gateway.client.watchSandbox(request)) {
          if (payload.case === "log") await write(payload.value);
          else if (payload.case === "warning")
            terminal.err(`${terminal.errorStyle.yellow("Warning:")} ${printable(payload.value.message)}\n`);
        }
        return undefined;
      }
      const request = { ...common, lines: args.lines, sources, minLevel: args.level ?? "" };
      const { logs } = await gateway.client.getSandboxLogs(request, { timeoutMs: CALL_TIMEOUT_MS });
      // Lines of the gateway and of the sandbox arrive apart.
      for (const line of [...logs].sort(byTime)) await write(line);
      return undefined;
    });
  },
});
