import { defineCommand } from "../../../command/define.ts";
import { outputArg, print } from "../../../command/output.ts";
import { OpenShellError } from "../../../error.ts";
import type { Sandbox } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { CALL_TIMEOUT_MS, type Gateway, withGateway } from "../connection/gateway.ts";
import { sandboxData, sandboxTable } from "./view.ts";

/** One page; the gateway's maximum, so that a list takes few calls. */
const PAGE_SIZE = 1000;
/** More than any gateway holds. */
const MAX_LIST = 1_000_000;

/** What is listed. */
export interface Listing {
  /** `KEY=VALUE,…`; empty: all. */
  readonly labelSelector?: string;
  readonly timeoutMs?: number;
  /** Stop after this many; absent: every one. */
  readonly most?: number;
  readonly allWorkspaces?: boolean;
}

/** The sandboxes of the workspace, or of all. */
export async function listSandboxes(gateway: Gateway, listing: Listing = {}): Promise<Sandbox[]> {
  const { labelSelector = "", timeoutMs = CALL_TIMEOUT_MS, most = Number.POSITIVE_INFINITY, allWorkspaces = false } = listing;
  const workspaceScope = allWorkspaces ? { selection: { case: "allWorkspaces" as const, value: {} } } : gateway.scope;
  const found: Sandbox[] = [];
  let pageToken = "";
  do {
    const page = await gateway.client.listSandboxes({ workspaceScope, pageSize: PAGE_SIZE, pageToken, labelSelector }, { timeoutMs });
    found.push(...page.sandboxes);
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && found.length < most);
  return found.slice(0, most);
}

export default defineCommand({
  meta: {
    name: "list",
    description: "List sandboxes",
    examples: ["openshell sandbox list", "openshell sandbox list --selector team=web -o json", "openshell sandbox list --limit 10 --names"],
  },
  args: {
    selector: { type: "string", alias: "l", valueHint: "KEY=VALUE,...", description: "Only those with these labels" },
    limit: { type: "string", integer: { min: 1, max: MAX_LIST }, valueHint: "N", description: "At most this many; all when left out" },
    offset: { type: "string", integer: { min: 0, max: MAX_LIST, default: 0 }, valueHint: "N", description: "Leave out the first ones" },
    "all-workspaces": { type: "boolean", description: "Of every workspace" },
    names: { type: "boolean", description: "Names only, one per line" },
    ids: { type: "boolean", description: "Ids only, one per line" },
    output: outputArg,
  },
  run: ({ args, terminal, globals }) => {
    if (args.names && args.ids) throw new OpenShellError("invalid_argument", "--names and --ids exclude each other");
    return withGateway({ globals, terminal }, async (gateway) => {
      const allWorkspaces = args["all-workspaces"] ?? false;
      const most = args.limit === undefined ? Number.POSITIVE_INFINITY : args.offset + args.limit;
      const sandboxes = (await listSandboxes(gateway, { labelSelector: args.selector ?? "", most, allWorkspaces })).slice(args.offset);
      const names = sandboxes.map(({ metadata }) => (args.ids ? metadata?.id : metadata?.name) ?? "");
      const format = args.names || args.ids ? "name" : args.output;
      const table = () => sandboxTable(sandboxes, terminal.style, allWorkspaces);
      await print(format, { data: sandboxes.map(sandboxData), names, table }, terminal);
      return undefined;
    });
  },
});
