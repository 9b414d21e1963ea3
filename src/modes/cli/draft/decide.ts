import { printable } from "../../../command/printable.ts";
import { EXIT_ERROR, EXIT_OK } from "../../../command/report.ts";
import { OpenShellError } from "../../../error.ts";
import type { PolicyChunk } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { confirm } from "../ask.ts";
import { CALL_TIMEOUT_MS, type Gateway, type GatewayChoice, withGateway } from "../connection/gateway.ts";
import { sandboxName } from "../last-sandbox.ts";
import { readPolicyProto } from "../policy/file.ts";
import { waitLoaded } from "../policy/wait-loaded.ts";
import { findChunk, readDraft, shortId } from "./chunks.ts";

const options = { timeoutMs: CALL_TIMEOUT_MS };

/** Finds the chunk, lets `act` decide it, and says what was done. */
function decide(
  sandboxGiven: string | undefined,
  id: string,
  choice: GatewayChoice,
  act: (gateway: Gateway, sandbox: string, chunk: PolicyChunk) => Promise<string>,
): Promise<undefined> {
  const { terminal } = choice;
  return withGateway(choice, async (gateway) => {
    const sandbox = sandboxName(sandboxGiven, gateway, terminal);
    const { chunks } = await readDraft(sandbox, gateway);
    const chunk = findChunk(chunks, id, sandbox);
    const done = await act(gateway, sandbox, chunk);
    terminal.out(`${terminal.style.green("✓")} ${done.replace("{id}", printable(shortId(chunk.id, chunks)))}\n`);
    return undefined;
  });
}

export function rejectChunk(sandboxGiven: string | undefined, id: string, reason: string, choice: GatewayChoice): Promise<undefined> {
  return decide(sandboxGiven, id, choice, async ({ client, scope }, sandbox, chunk) => {
    await client.rejectDraftChunk({ workspaceScope: scope, sandbox, chunkId: chunk.id, reason }, options);
    return "Rejected {id}";
  });
}

export function undoChunk(
  sandboxGiven: string | undefined,
  id: string,
  waitSeconds: number | undefined,
  choice: GatewayChoice,
): Promise<undefined> {
  return decide(sandboxGiven, id, choice, async (gateway, sandbox, chunk) => {
    const request = { workspaceScope: gateway.scope, sandbox, chunkId: chunk.id };
    const { policyVersion } = await gateway.client.undoDraftChunk(request, options);
    if (waitSeconds !== undefined) await waitLoaded(sandbox, policyVersion, gateway, waitSeconds);
    return `Undone {id}: it is pending again (policy version ${policyVersion}${waitSeconds === undefined ? "" : ", in force in the sandbox"})`;
  });
}

export function retryChunk(sandboxGiven: string | undefined, id: string, choice: GatewayChoice): Promise<undefined> {
  return decide(sandboxGiven, id, choice, async ({ client, scope }, sandbox, chunk) => {
    await client.retryDraftChunk({ workspaceScope: scope, sandbox, chunkId: chunk.id }, options);
    return "{id} is pending again";
  });
}

export async function editChunk(sandboxGiven: string | undefined, id: string, file: string, choice: GatewayChoice): Promise<undefined> {
  const policy = await readPolicyProto(file);
  const rules = Object.values(policy.networkPolicies);
  const [rule] = rules;
  if (rule === undefined || rules.length !== 1) {
    throw new OpenShellError("invalid_argument", `${file} has ${rules.length} rules under network_policies, expected exactly 1`, {
      next: "start from the rule that openshell sandbox draft prints",
    });
  }
  return decide(sandboxGiven, id, choice, async ({ client, scope }, sandbox, { id: chunkId, reviewToken }) => {
    await client.editDraftChunk({ workspaceScope: scope, sandbox, chunkId, proposedRule: rule, reviewToken }, options);
    return `Changed {id}; see it with: openshell sandbox draft ${printable(sandbox)}`;
  });
}

/** Rejects every pending chunk with the reason `cleared`. */
export function clearChunks(sandboxGiven: string | undefined, yes: boolean, choice: GatewayChoice): Promise<number> {
  const { terminal } = choice;
  return withGateway(choice, async ({ client, scope, ...gateway }) => {
    const sandbox = sandboxName(sandboxGiven, { client, scope, ...gateway }, terminal);
    if (!yes && terminal.stdinIsTerminal && !(await confirm(`Clear all pending proposals of '${printable(sandbox)}'?`, terminal)))
      return EXIT_ERROR;
    const { chunksCleared } = await client.clearDraftChunks({ workspaceScope: scope, sandbox }, options);
    terminal.out(`${terminal.style.green("✓")} Cleared ${chunksCleared} pending\n`);
    return EXIT_OK;
  });
}
