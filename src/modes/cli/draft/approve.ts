import { printable, printableSentence } from "../../../command/printable.ts";
import { EXIT_ERROR, EXIT_OK } from "../../../command/report.ts";
import type { Terminal } from "../../../command/terminal.ts";
import { OpenShellError } from "../../../error.ts";
import { ChunkLifetime, type PolicyChunk } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { confirm } from "../ask.ts";
import { CALL_TIMEOUT_MS, type Gateway, type GatewayChoice, withGateway } from "../connection/gateway.ts";
import { sandboxName } from "../last-sandbox.ts";
import { waitLoaded } from "../policy/wait-loaded.ts";
import { findChunk, notesOf, readDraft, shortId } from "./chunks.ts";
import { renderChunk } from "./render.ts";

export interface ApproveOptions {
  readonly sandbox: string | undefined;
  readonly yes: boolean;
  readonly wait: boolean;
  readonly timeoutSeconds: number;
  /** Absent: until it is taken back. */
  readonly lifetime?: ChunkLifetime | undefined;
}

/** How long an approval holds, for a person. */
const LASTS: Readonly<Record<ChunkLifetime, string>> = {
  [ChunkLifetime.UNSPECIFIED]: "",
  [ChunkLifetime.ALWAYS]: "",
  [ChunkLifetime.SESSION]: " until the sandbox stops",
  [ChunkLifetime.ONCE]: " for one request",
};

function isFlagged(chunk: PolicyChunk): boolean {
  return notesOf(chunk).length > 0;
}

async function finish(version: number, sandbox: string, options: ApproveOptions, gateway: Gateway, terminal: Terminal): Promise<void> {
  if (!options.wait) return;
  await waitLoaded(sandbox, version, gateway, options.timeoutSeconds);
  terminal.out(`${terminal.style.green("✓")} In force in the sandbox (policy version ${version})\n`);
}

/** Shows one chunk, asks on a terminal, and approves exactly what was shown: the review token of that answer goes with it. */
export function approveOne(id: string, options: ApproveOptions, choice: GatewayChoice): Promise<number> {
  const { terminal } = choice;
  return withGateway(choice, async (gateway) => {
    const sandbox = sandboxName(options.sandbox, gateway, terminal);
    const { chunks } = await readDraft(sandbox, gateway);
    const chunk = findChunk(chunks, id, sandbox);
    terminal.out(await renderChunk(chunk, { sandbox, all: chunks, style: terminal.style }));
    if (!options.yes && terminal.stdinIsTerminal && chunk.status === "pending") {
      if (!(await confirm("Approve this?", terminal))) {
        terminal.err("Nothing was approved.\n");
        return EXIT_ERROR;
      }
    }
    const request = {
      workspaceScope: gateway.scope,
      sandbox,
      chunkId: chunk.id,
      reviewToken: chunk.reviewToken,
      lifetime: options.lifetime ?? ChunkLifetime.ALWAYS,
    };
    const { policyVersion } = await gateway.client.approveDraftChunk(request, { timeoutMs: CALL_TIMEOUT_MS });
    terminal.out(
      `${terminal.style.green("✓")} Approved ${printable(shortId(chunk.id, chunks))}${LASTS[options.lifetime ?? ChunkLifetime.ALWAYS]} (policy version ${policyVersion})\n`,
    );
    await finish(policyVersion, sandbox, options, gateway, terminal);
    return EXIT_OK;
  });
}

/** Which of the pending chunks go: all unflagged ones after one question, flagged ones each after its own. */
async function choose(
  chunks: readonly PolicyChunk[],
  includeFlagged: boolean,
  options: ApproveOptions,
  sandbox: string,
  terminal: Terminal,
) {
  const style = terminal.style;
  const chosen: PolicyChunk[] = [];
  const unflagged = chunks.filter((chunk) => !isFlagged(chunk));
  for (const chunk of unflagged) terminal.out(`${await renderChunk(chunk, { sandbox, all: chunks, style })}\n`);
  if (unflagged.length > 0 && (options.yes || (await confirm(`Approve these ${unflagged.length}?`, terminal)))) chosen.push(...unflagged);
  if (!includeFlagged) return chosen;
  for (const chunk of chunks.filter(isFlagged)) {
    terminal.out(`${await renderChunk(chunk, { sandbox, all: chunks, style })}\n`);
    if (options.yes || (await confirm("Approve this flagged one?", terminal))) chosen.push(chunk);
  }
  return chosen;
}

/** `approve --all`: only unflagged chunks unless asked, shown first; says how many were left and why. */
export function approveAll(includeFlagged: boolean, options: ApproveOptions, choice: GatewayChoice): Promise<number> {
  const { terminal } = choice;
  if (!options.yes && !terminal.stdinIsTerminal) {
    throw new OpenShellError("invalid_argument", "--all asks before it approves, and there is no terminal to ask on", {
      next: "add --yes",
    });
  }
  return withGateway(choice, async (gateway) => {
    const sandbox = sandboxName(options.sandbox, gateway, terminal);
    const { chunks } = await readDraft(sandbox, gateway, "pending");
    if (chunks.length === 0) {
      throw new OpenShellError("failed_precondition", "no pending chunks to approve", {
        next: `openshell sandbox draft ${sandbox} --chunks`,
      });
    }
    const chosen = await choose(chunks, includeFlagged, options, sandbox, terminal);
    const leftFlagged = chunks.filter((chunk) => isFlagged(chunk) && !chosen.includes(chunk));
    let left = leftFlagged.map((chunk) => ({ chunkId: chunk.id, reason: notesOf(chunk).join("; ") }));
    if (chosen.length > 0) {
      const answer = await gateway.client.approveAllDraftChunks(
        {
          workspaceScope: gateway.scope,
          sandbox,
          includeSecurityFlagged: chosen.some(isFlagged),
          approvals: chosen.map(({ id, reviewToken }) => ({ chunkId: id, reviewToken })),
        },
        { timeoutMs: CALL_TIMEOUT_MS },
      );
      const said = new Set(answer.skipped.map(({ chunkId }) => chunkId));
      left = [...answer.skipped, ...left.filter(({ chunkId }) => !said.has(chunkId))];
      terminal.out(`${terminal.style.green("✓")} Approved ${answer.chunksApproved} (policy version ${answer.policyVersion})\n`);
      if (answer.chunksApproved > 0) await finish(answer.policyVersion, sandbox, options, gateway, terminal);
    }
    if (left.length > 0) {
      terminal.out(`${terminal.style.yellow(`Skipped ${left.length}:`)}\n`);
      for (const { chunkId, reason } of left) terminal.out(`  ${printable(shortId(chunkId, chunks))}  ${printableSentence(reason)}\n`);
    }
    return chosen.length > 0 ? EXIT_OK : EXIT_ERROR;
  });
}
