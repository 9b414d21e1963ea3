import { OpenShellError } from "../../../error.ts";
import type { GetDraftPolicyResponse, PolicyChunk } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { CALL_TIMEOUT_MS, type Gateway } from "../connection/gateway.ts";

/** The states of a chunk, as `--status` takes them. */
export const CHUNK_STATUSES = ["pending", "approved", "rejected", "expired", "superseded"] as const;

/** Chunks per call; pending ones carry two policies of up to 256 KiB each, and an answer is at most 3 MiB. */
const PAGE_SIZE = 5;

export interface Draft {
  readonly chunks: readonly PolicyChunk[];
  readonly version: bigint;
  readonly summary: string;
}

/** All chunks of a sandbox, or those with one status. */
export async function readDraft(sandbox: string, gateway: Gateway, statusFilter = ""): Promise<Draft> {
  const chunks: PolicyChunk[] = [];
  let pageToken = "";
  let answer: GetDraftPolicyResponse;
  do {
    const request = { workspaceScope: gateway.scope, sandbox, statusFilter, pageSize: PAGE_SIZE, pageToken };
    answer = await gateway.client.getDraftPolicy(request, { timeoutMs: CALL_TIMEOUT_MS });
    chunks.push(...answer.chunks);
    pageToken = answer.nextPageToken;
  } while (pageToken !== "");
  return { chunks, version: answer.draftVersion, summary: answer.rollingSummary };
}

/** The chunk that an id or a unique prefix of one names. */
export function findChunk(chunks: readonly PolicyChunk[], given: string, sandbox: string): PolicyChunk {
  const exact = chunks.find(({ id }) => id === given);
  if (exact !== undefined) return exact;
  const matching = given === "" ? [] : chunks.filter(({ id }) => id.startsWith(given));
  const [first] = matching;
  if (first === undefined) {
    throw new OpenShellError("not_found", `sandbox '${sandbox}' has no chunk '${given}'`, {
      next: `openshell sandbox draft ${sandbox} --chunks`,
    });
  }
  if (matching.length > 1) {
    throw new OpenShellError(
      "invalid_argument",
      `'${given}' could be ${matching.length} chunks: ${matching.map(({ id }) => id).join(", ")}`,
      {
        next: "give more letters of the id",
      },
    );
  }
  return first;
}

/** Letters of an id that a person needs, at least. */
const MIN_PREFIX = 8;

/** The shortest prefix, of at least eight letters, that names this chunk among the others. */
export function shortId(id: string, chunks: readonly PolicyChunk[]): string {
  for (let length = MIN_PREFIX; length < id.length; length++) {
    const prefix = id.slice(0, length);
    if (!chunks.some((other) => other.id !== id && other.id.startsWith(prefix))) return prefix;
  }
  return id;
}

/** Why a chunk is flagged; empty when it is not. */
export function notesOf(chunk: PolicyChunk): string[] {
  if (chunk.flags.length > 0) return chunk.flags.map(({ code, sentence }) => `${code}: ${sentence}`);
  return chunk.securityNotes === "" ? [] : chunk.securityNotes.split("\n").filter((line) => line !== "");
}
