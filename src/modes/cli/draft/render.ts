import { printable, printableLines, printableSentence, shortened } from "../../../command/printable.ts";
import { type Cell, renderTable } from "../../../command/table.ts";
import type { Style } from "../../../command/terminal.ts";
import { ChunkLifetime, type PolicyChunk } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { tableTime } from "../sandbox/view.ts";
import { notesOf, shortId } from "./chunks.ts";
import { registrableDomain } from "./domain.ts";
import { ruleYaml } from "./rule-yaml.ts";

/** Command lines shown per chunk; json has all. */
const MAX_COMMAND_LINES = 3;
/** Requests shown per chunk; json has all. */
const MAX_REQUESTS = 5;
/** Of one command line; it is data of the agent and may be long. */
const MAX_COMMAND_LINE_LENGTH = 160;

/** What the commands of a listing need to name the chunk. */
export interface Listing {
  readonly sandbox: string;
  /** All chunks, so that shortened ids stay unique. */
  readonly all: readonly PolicyChunk[];
  readonly style: Style;
}

function statusCell(status: string, style: Style): Cell {
  if (status === "pending") return { text: status, color: style.yellow };
  if (status === "approved") return { text: status, color: style.green };
  if (status === "rejected") return { text: status, color: style.red };
  return { text: status, color: style.dim };
}

/** Hosts of a chunk; `host:port` for each. */
export function endpointsOf(chunk: PolicyChunk): { host: string; ports: readonly number[] }[] {
  return (chunk.proposedRule?.endpoints ?? []).map(({ host, port, ports }) => ({ host, ports: ports.length > 0 ? ports : [port] }));
}

function sentenceOf(chunk: PolicyChunk): string {
  return printableSentence(chunk.sentence || chunk.rationale || `rule ${chunk.ruleName}`);
}

function seenLine(chunk: PolicyChunk): string {
  const times = chunk.hitCount === 1 ? "once" : `${chunk.hitCount} times`;
  return `${times}, first ${tableTime(chunk.firstSeenTime)}, last ${tableTime(chunk.lastSeenTime)} UTC`;
}

function replayLine(chunk: PolicyChunk): string | undefined {
  const replay = chunk.replay;
  if (replay === undefined) return undefined;
  const others =
    replay.otherAllowed === 0
      ? "and nothing else that was denied"
      : `and ${replay.otherAllowed} of ${replay.otherTotal} other denied requests`;
  return `would have allowed ${replay.activityAllowed} of ${replay.activityTotal} denied requests of this activity, ${others}`;
}

/** Approvals that end by themselves. */
const LASTS: Readonly<Partial<Record<ChunkLifetime, string>>> = {
  [ChunkLifetime.SESSION]: "holds until the sandbox stops",
  [ChunkLifetime.ONCE]: "holds for one request",
};

function decisionOf(chunk: PolicyChunk): string | undefined {
  if (chunk.status === "rejected" && chunk.rejectionReason !== "") return `rejected: ${printable(chunk.rejectionReason)}`;
  if (chunk.applicationError !== "") return printable(chunk.applicationError);
  const lasts = LASTS[chunk.lifetime];
  if (lasts !== undefined && chunk.status === "approved") return lasts;
  if (lasts !== undefined && chunk.status === "expired") return `approved ${lasts.replace("holds ", "")}, and that is over`;
  return chunk.validationResult === "" ? undefined : printable(chunk.validationResult);
}

const LABEL_WIDTH = 17;

function field(label: string, values: readonly string[], style: Style): string[] {
  return values.map(
    (value, i) => `  ${i === 0 ? style.dim(`${label}:`) : ""}${" ".repeat(LABEL_WIDTH - (i === 0 ? label.length + 1 : 0))}${value}`,
  );
}

/**
 * One chunk for a person: the sentence first, who owns each host shown apart and never cut, then the rule, who asked, how often, notes, what
 * it would change, and the commands that decide.
 */
export async function renderChunk(chunk: PolicyChunk, { sandbox, all, style }: Listing): Promise<string> {
  const id = shortId(chunk.id, all);
  const notes = notesOf(chunk);
  const status = statusCell(chunk.status, style);
  const paintedStatus = typeof status === "string" ? status : status.color(printable(status.text));
  const lines = [`${style.bold(sentenceOf(chunk))}`];
  const meta = [`chunk ${printable(id)}`, paintedStatus, chunk.stage, chunk.analysisMode, chunk.modelId].filter((part) => part !== "");
  lines.push(`  ${meta.map((part) => (part === paintedStatus ? part : printable(part))).join(style.dim(" | "))}`);
  const domains = endpointsOf(chunk).map(
    ({ host, ports }) =>
      `${style.bold(registrableDomain(host))}${style.dim("  in full: ")}${printable(host)} ${style.dim("port")} ${ports.join(", ")}`,
  );
  lines.push(...field("Domain", domains, style));
  lines.push(
    ...field(
      "Asked by",
      [printable(chunk.binary), ...(chunk.ancestors.length > 0 ? [`started by ${printable(chunk.ancestors.join(" < "))}`] : [])],
      style,
    ),
  );
  const commands = chunk.sampleCmdlines
    .slice(0, MAX_COMMAND_LINES)
    .map((line) => style.dim(`$ ${shortened(line, MAX_COMMAND_LINE_LENGTH)}`));
  lines.push(...field("Command", commands, style));
  const requests = chunk.requestSamples.slice(0, MAX_REQUESTS).map(({ method, path, decision, count }) => {
    const times = count === 1 ? "once" : `${count} times`;
    return `${printable(`${method} ${path}`)} ${style.dim(`${decision === "deny" ? "denied" : "logged"} ${times}`)}`;
  });
  if (chunk.requestSamples.length > MAX_REQUESTS) requests.push(style.dim(`and ${chunk.requestSamples.length - MAX_REQUESTS} more`));
  lines.push(...field("Requests", requests, style));
  lines.push(...field("Seen", [seenLine(chunk)], style));
  lines.push(...field("Confidence", [`${Math.round(chunk.confidence * 100)} %`], style));
  lines.push(
    ...field(
      "Notes",
      notes.map((note) => style.red(`! ${printableSentence(note)}`)),
      style,
    ),
  );
  lines.push(...field("Newly reachable", chunk.newlyReachable.map(printable), style));
  const replay = replayLine(chunk);
  if (replay !== undefined) lines.push(...field("Replay", [replay], style));
  if (chunk.sentence !== "" && chunk.rationale !== "") lines.push(...field("Why", printableLines(chunk.rationale).split("\n"), style));
  const decision = decisionOf(chunk);
  if (decision !== undefined) lines.push(...field("Result", [decision], style));
  if (chunk.status === "pending" && chunk.expirationTime !== undefined)
    lines.push(...field("Expires", [`${tableTime(chunk.expirationTime)} UTC`], style));
  if (chunk.proposedRule !== undefined) {
    const yaml = (await ruleYaml(chunk.ruleName, chunk.proposedRule)).trimEnd();
    lines.push(
      ...field("Rule", [""], style).map((line) => line.trimEnd()),
      ...yaml.split("\n").map((line) => `    ${style.green(`+ ${line}`)}`),
    );
  }
  const name = printable(sandbox);
  if (chunk.status === "pending") {
    lines.push(...field("Approve", [style.cyan(`openshell sandbox draft approve ${name} ${id}`)], style));
    lines.push(...field("Reject", [style.cyan(`openshell sandbox draft reject ${name} ${id} --reason TEXT`)], style));
  } else if (chunk.status === "approved") lines.push(...field("Undo", [style.cyan(`openshell sandbox draft undo ${name} ${id}`)], style));
  return `${lines.join("\n")}\n`;
}

/** One line per chunk; the host column is never cut. */
export function renderChunkTable(chunks: readonly PolicyChunk[], { all, style }: Listing): string {
  if (chunks.length === 0) return "No chunks.\n";
  return renderTable(
    ["CHUNK", "STATUS", "DOMAIN", "ENDPOINTS", "BINARY", "HITS", "CONFIDENCE", "FLAGS", "LAST SEEN"],
    chunks.map((chunk) => {
      const endpoints = endpointsOf(chunk);
      const flags = chunk.flags.map(({ code }) => code).join(",");
      return [
        shortId(chunk.id, all),
        statusCell(chunk.status, style),
        [...new Set(endpoints.map(({ host }) => registrableDomain(host)))].join(","),
        endpoints.map(({ host, ports }) => `${host}:${ports.join(",")}`).join(" "),
        chunk.binary,
        String(chunk.hitCount),
        `${Math.round(chunk.confidence * 100)}%`,
        flags === "" ? "-" : { text: flags, color: style.red },
        tableTime(chunk.lastSeenTime),
      ];
    }),
    style,
  );
}
