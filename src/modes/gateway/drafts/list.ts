import { createHash } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { OpenShellError } from "../../../error.ts";
import {
  type GetDraftPolicyRequest,
  type GetDraftPolicyResponse,
  GetDraftPolicyResponseSchema,
  type PolicyChunk,
  PolicyChunkSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { DraftSandbox } from "./context.ts";
import { type Drafts, findChunk, refinedBy } from "./drafts.ts";
import { DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, MAX_POLICY_BYTES_PER_ANSWER } from "./limits.ts";
import { draftTtl } from "./settings.ts";
import { settleAndAnnounce } from "./settle.ts";
import { transitions } from "./state.ts";
import { type ViewFacts, viewOf } from "./view.ts";

/** The chunks of a sandbox, oldest first, page by page. `seen` marks the pending ones as seen by a person. */
export function listDrafts(drafts: Drafts, sandbox: DraftSandbox, request: GetDraftPolicyRequest, seen: boolean): GetDraftPolicyResponse {
  const { context, repository } = drafts;
  settleAndAnnounce(drafts, sandbox.id);
  if (request.statusFilter !== "" && !(request.statusFilter in transitions)) {
    throw new OpenShellError(
      "invalid_argument",
      `status_filter '${request.statusFilter}' is not one of ${Object.keys(transitions).join(", ")}`,
    );
  }
  const denials = repository.denials(sandbox.id);
  const credentialed = context.credentialedHosts?.(sandbox.id) ?? [];
  const facts = { current: context.policies.current(sandbox.id), denials, credentialed, ttl: draftTtl(context, sandbox.id) };
  const page = pageOf(drafts, sandbox, request);
  const budget = { bytes: MAX_POLICY_BYTES_PER_ANSWER };
  const chunks = page.entries.map(({ chunk }) =>
    fitting(viewOf(chunk, { ...facts, refined: refinedBy(drafts, chunk) } satisfies ViewFacts), budget),
  );
  if (seen) {
    const now = context.clock.now();
    for (const { chunk } of page.entries)
      if (chunk.status === "pending" && chunk.viewedTime === undefined) repository.update(chunk, { viewedTime: now });
  }
  const { draftVersion, lastAnalyzedTime, overflowCount } = repository.counters(sandbox.id);
  return create(GetDraftPolicyResponseSchema, {
    chunks,
    rollingSummary: rollingSummary(repository.pending(sandbox.id).length, denials.length, overflowCount),
    draftVersion: BigInt(draftVersion),
    nextPageToken: page.nextToken,
    ...(lastAnalyzedTime === undefined ? {} : { lastAnalyzedTime: timestampFromMs(lastAnalyzedTime) }),
  });
}

function pageOf(drafts: Drafts, sandbox: DraftSandbox, request: GetDraftPolicyRequest) {
  if (request.chunkId !== "") return { entries: [{ rank: 0, chunk: findChunk(drafts, sandbox, request.chunkId) }], nextToken: "" };
  if (request.pageSize < 0) throw new OpenShellError("invalid_argument", `page_size is ${request.pageSize}, at least 0 is expected`);
  const size = Math.min(request.pageSize || DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE);
  const after = request.pageToken === "" ? 0 : rankOf(request.pageToken, sandbox, request.statusFilter);
  const entries = drafts.repository.chunks(sandbox.id, request.statusFilter, after, size + 1);
  const last = entries.length > size ? entries[size - 1] : undefined;
  return { entries: entries.slice(0, size), nextToken: last ? tokenFor(last.rank, sandbox, request.statusFilter) : "" };
}

/** `<rank>.<what the page belongs to>`: a token of another list is refused instead of giving another list's page. */
function tokenFor(rank: number, sandbox: DraftSandbox, status: string): string {
  const bound = createHash("sha256")
    .update(JSON.stringify([sandbox.id, status]))
    .digest("base64url")
    .slice(0, 16);
  return Buffer.from(`${rank}.${bound}`).toString("base64url");
}

function rankOf(token: string, sandbox: DraftSandbox, status: string): number {
  const rank = Number(Buffer.from(token, "base64url").toString("latin1").split(".")[0]);
  if (Number.isSafeInteger(rank) && rank > 0 && tokenFor(rank, sandbox, status) === token) return rank;
  throw new OpenShellError("invalid_argument", "page_token does not belong to this list", { next: "start again without it" });
}

/** Leaves the two policies out once the answer has no room for them; their hashes stay. */
function fitting(chunk: PolicyChunk, budget: { bytes: number }): PolicyChunk {
  if (!chunk.currentEffectivePolicy) return chunk;
  const size = toBinary(PolicyChunkSchema, chunk).length;
  if (size <= budget.bytes) {
    budget.bytes -= size;
    return chunk;
  }
  const { currentEffectivePolicy: _current, candidateEffectivePolicy: _candidate, ...rest } = chunk;
  return create(PolicyChunkSchema, rest);
}

function rollingSummary(pending: number, destinations: number, overflow: number): string {
  const lost = overflow > 0 ? `; ${overflow} denials had no room` : "";
  return `${counted(pending, "proposal")} pending, ${counted(destinations, "denied destination")} known${lost}`;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
