import { toJson } from "@bufbuild/protobuf";
import { type OutputFormat, print } from "../../../command/output.ts";
import { renderTable } from "../../../command/table.ts";
import { DraftHistoryEntrySchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { CALL_TIMEOUT_MS, type GatewayChoice, withGateway } from "../connection/gateway.ts";
import { sandboxName } from "../last-sandbox.ts";
import { tableTime } from "../sandbox/view.ts";

/** Letters of a chunk id in the table; json has it whole. */
const ID_LETTERS = 8;

/** Who decided what, when, and which policy version came of it. */
export function showHistory(sandboxGiven: string | undefined, output: OutputFormat, choice: GatewayChoice): Promise<undefined> {
  const { terminal } = choice;
  return withGateway(choice, async (gateway) => {
    const sandbox = sandboxName(sandboxGiven, gateway, terminal);
    const { entries } = await gateway.client.getDraftHistory({ workspaceScope: gateway.scope, sandbox }, { timeoutMs: CALL_TIMEOUT_MS });
    const rows = () =>
      entries.map((e) => [
        tableTime(e.eventTime),
        e.chunkId.slice(0, ID_LETTERS),
        e.eventType,
        e.oldStatus === e.newStatus ? e.newStatus : `${e.oldStatus || "new"} > ${e.newStatus}`,
        e.actor,
        e.versionAfter === e.versionBefore ? "-" : `${e.versionBefore} > ${e.versionAfter}`,
        [e.description, e.reason].filter((text) => text !== "").join(": "),
      ]);
    await print(
      output,
      {
        data: entries.map((entry) => toJson(DraftHistoryEntrySchema, entry, { useProtoFieldName: true, alwaysEmitImplicit: true })),
        names: entries.map(({ chunkId }) => chunkId),
        table: () =>
          entries.length === 0
            ? `No proposals yet for sandbox '${sandbox}'.\n`
            : renderTable(["TIME", "CHUNK", "EVENT", "STATUS", "ACTOR", "POLICY", "TEXT"], rows(), terminal.style),
      },
      terminal,
    );
    return undefined;
  });
}
