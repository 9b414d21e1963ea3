import { clip, escapeText, escapeWord } from "./escape.ts";
import type { Actor, HttpEvent, InferenceDetails, NetworkEvent, ProcessEvent, SecurityEvent, Severity, SqlEvent } from "./event.ts";

/** A reason longer than this is cut: a line should fit a terminal, the JSON record has the whole. */
export const MAX_REASON_CHARACTERS = 256;

const severityTag: Readonly<Record<Severity, string>> = {
  informational: "[INFO]",
  low: "[LOW]",
  medium: "[MED]",
  high: "[HIGH]",
  critical: "[CRIT]",
  fatal: "[FATAL]",
};

/**
 * One event as one line of printable ASCII: `CLASS:ACTIVITY [SEV] [ACTION] details [policy:P engine:E] [reason:…]`.
 * Control bytes, newlines and non-ASCII characters are escaped; the result never contains a line break.
 */
export function formatShorthand(event: SecurityEvent): string {
  const severity = severityTag[event.severity];
  switch (event.kind) {
    case "network":
      return `NET:${event.activity.toUpperCase()} ${severity} ${event.action.toUpperCase()} ${networkDetails(event)}`;
    case "http":
      return `HTTP:${escapeWord(event.method)} ${severity} ${event.action.toUpperCase()} ${httpDetails(event)}`;
    case "sql":
      return `SQL:${escapeWord(event.command)} ${severity} ${event.action.toUpperCase()} ${sqlDetails(event)}`;
    case "process":
      return `PROC:${event.activity.toUpperCase()} ${severity} ${processDetails(event)}`;
    case "config":
      return `CONFIG:${event.activity.toUpperCase()} ${severity} ${escapeText(event.message)}${configTail(event)}`;
    case "finding":
      return `FINDING:${escapeWord(event.id)} ${severity} "${escapeText(event.title)}"${evidence(event.evidence)}`;
    case "lifecycle":
      return `LIFECYCLE:${event.activity.toUpperCase()} ${severity} ${escapeText(event.message)}`;
  }
}

function networkDetails(event: NetworkEvent): string {
  const to = event.host === "" ? "-" : `${bracketed(event.host)}:${event.port}`;
  const udp = event.protocol === "udp" ? "/udp" : "";
  return `${actor(event.actor)} -> ${to}${udp} ${decidedBy(event)}${reason(event.reason)}`;
}

function httpDetails(event: HttpEvent): string {
  return `${escapeWord(event.method)} ${url(event.url)} ${decidedBy(event)}${credentials(event.credentials)}${inference(event.inference)}${reason(event.reason)}`;
}

/** What stands for a credential keeps its brackets: nothing else is read into them. */
function url(text: string): string {
  return escapeWord(text).replaceAll("\\x5bCREDENTIAL\\x5d", "[CREDENTIAL]");
}

function credentials(names: readonly string[] | undefined): string {
  return names === undefined ? "" : ` [credentials:${names.map(escapeWord).join(",")}]`;
}

function inference(details: InferenceDetails | undefined): string {
  if (details === undefined) return "";
  const { route, provider, model, status, inputTokens, outputTokens, durationMs } = details;
  const tokens = inputTokens === undefined ? "" : ` tokens:${inputTokens}+${outputTokens ?? 0}`;
  const names = [route, provider, model].map((name) => clip(escapeWord(name), MAX_REASON_CHARACTERS));
  return ` [route:${names[0]} provider:${names[1]} model:${names[2]} status:${status}${tokens} ms:${durationMs}]`;
}

function sqlDetails(event: SqlEvent): string {
  const database = event.database === "" ? "" : `/${escapeWord(event.database)}`;
  return `${actor(event.actor)} -> ${bracketed(event.host)}:${event.port}${database} ${decidedBy(event)}${reason(event.reason)}`;
}

function processDetails(event: ProcessEvent): string {
  const exit = event.exitCode === undefined ? "" : ` [exit:${event.exitCode}]`;
  const command = event.commandLine === undefined ? "" : ` [cmd:${clip(escapeText(event.commandLine), MAX_REASON_CHARACTERS)}]`;
  return `${escapeWord(event.name)}(${event.pid})${exit}${command}`;
}

function actor(who: Actor | undefined): string {
  if (who === undefined) return "-";
  return `${escapeWord(who.binary)}(${who.pid})${who.writableCode === true ? " [finding:writable-code]" : ""}`;
}

/** IPv6 literals in brackets, as in a URL. */
function bracketed(host: string): string {
  return host.includes(":") ? `[${escapeWord(host)}]` : escapeWord(host);
}

function decidedBy(event: NetworkEvent | HttpEvent | SqlEvent): string {
  return `[policy:${event.policy === undefined ? "-" : escapeWord(event.policy)} engine:${event.engine}]`;
}

function reason(text: string | undefined): string {
  return text === undefined || text === "" ? "" : ` [reason:${clip(escapeText(text), MAX_REASON_CHARACTERS)}]`;
}

function configTail(event: { version?: number; hash?: string }): string {
  const version = event.version === undefined ? "" : ` [version:${event.version}]`;
  const hash = event.hash === undefined ? "" : ` [policy_hash:${escapeWord(event.hash)}]`;
  return version + hash;
}

function evidence(fields: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(fields).map(([key, value]) => `${escapeWord(key)}:${clip(escapeWord(value), MAX_REASON_CHARACTERS)}`);
  return pairs.length === 0 ? "" : ` [${pairs.join(" ")}]`;
}
