import type { ArgValues } from "../../../command/define.ts";
import { outputArg, print } from "../../../command/output.ts";
import { printableSentence } from "../../../command/printable.ts";
import type { Terminal } from "../../../command/terminal.ts";
import type { PolicyChunk } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { type Gateway, type GatewayChoice, withGateway } from "../connection/gateway.ts";
import { rememberSandbox, sandboxName } from "../last-sandbox.ts";
import { optionalName } from "../sandbox/arguments.ts";
import { CHUNK_STATUSES, readDraft } from "./chunks.ts";
import { chunkData, draftData } from "./data.ts";
import { renderChunk, renderChunkTable } from "./render.ts";

export const listArgs = {
  name: optionalName,
  chunks: { type: "boolean", description: "One line per chunk, in every status" },
  status: { type: "enum", options: CHUNK_STATUSES, description: "Only chunks with this status" },
  watch: { type: "boolean", alias: "w", description: "Show new chunks as they come, until Ctrl-C" },
  output: outputArg,
} as const;

type ListArgs = ArgValues<typeof listArgs>;

/** Prints chunks that were not shown before; in json one line per chunk. */
async function printNew(
  chunks: readonly PolicyChunk[],
  shown: Set<string>,
  sandbox: string,
  args: ListArgs,
  terminal: Terminal,
): Promise<void> {
  const { asciiJson, asciiYaml } = await import("../../../command/output.ts");
  for (const chunk of chunks) {
    if (shown.has(chunk.id)) continue;
    shown.add(chunk.id);
    if (args.output === "json") terminal.out(`${asciiJson(chunkData(chunk))}\n`);
    else if (args.output === "yaml") terminal.out(`---\n${await asciiYaml(chunkData(chunk))}`);
    else if (args.output === "name") terminal.out(`${chunk.id}\n`);
    else terminal.out(`${await renderChunk(chunk, { sandbox, all: chunks, style: terminal.style })}\n`);
  }
}

async function watchDraft(sandbox: string, args: ListArgs, gateway: Gateway, terminal: Terminal): Promise<undefined> {
  const shown = new Set<string>();
  const status = args.status ?? "pending";
  // Watch first, then read: a chunk that comes in between is announced, not missed.
  const events = gateway.client.watchSandbox({ workspaceScope: gateway.scope, sandbox, followEvents: true, followStatus: true });
  for await (const { payload } of events) {
    if (payload.case !== "sandbox" && payload.case !== "draftPolicyUpdate") continue;
    await printNew((await readDraft(sandbox, gateway, status)).chunks, shown, sandbox, args, terminal);
  }
  return undefined;
}

async function renderDraft(
  sandbox: string,
  args: ListArgs,
  all: readonly PolicyChunk[],
  summary: string,
  terminal: Terminal,
): Promise<string> {
  const { style } = terminal;
  if (args.chunks) return renderChunkTable(all, { sandbox, all, style });
  const wanted = args.status ?? "pending";
  const chunks = all.filter(({ status }) => status === wanted);
  const parts: string[] = [];
  if (summary !== "") parts.push(`${style.dim(printableSentence(summary))}\n`);
  for (const chunk of chunks) parts.push(await renderChunk(chunk, { sandbox, all, style }));
  if (chunks.length === 0) parts.push(`No ${wanted} proposals for sandbox '${sandbox}'.\n`);
  const others = all.length - chunks.length;
  if (others > 0 && args.status === undefined)
    parts.push(`${style.dim(`${others} more that are decided or expired: openshell sandbox draft ${sandbox} --chunks`)}\n`);
  return parts.join("\n");
}

/** `sandbox draft NAME` and `rule get NAME`. */
export function runList(args: ListArgs, choice: GatewayChoice): Promise<undefined> {
  const { terminal } = choice;
  return withGateway(choice, async (gateway) => {
    const sandbox = sandboxName(args.name, gateway, terminal);
    if (args.watch) return watchDraft(sandbox, args, gateway, terminal);
    // Without a filter all are read: ids are shortened only as far as they stay unique.
    const draft = await readDraft(sandbox, gateway, args.output === "table" ? "" : (args.status ?? ""));
    rememberSandbox(sandbox, gateway, terminal);
    const all = args.chunks && args.status !== undefined ? draft.chunks.filter(({ status }) => status === args.status) : draft.chunks;
    await print(
      args.output,
      {
        data: draftData(sandbox, draft),
        names: draft.chunks.map(({ id }) => id),
        table: () => renderDraft(sandbox, args, all, draft.summary, terminal),
      },
      terminal,
    );
    return undefined;
  });
}
