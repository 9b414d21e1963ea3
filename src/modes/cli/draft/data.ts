import { toJson } from "@bufbuild/protobuf";
import { type PolicyChunk, PolicyChunkSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { Draft } from "./chunks.ts";
import { registrableDomain } from "./domain.ts";
import { endpointsOf } from "./render.ts";

/** Everything of a chunk, with the names of the API, and the owner of each host. */
export function chunkData(chunk: PolicyChunk): Record<string, unknown> {
  const json = toJson(PolicyChunkSchema, chunk, { useProtoFieldName: true, alwaysEmitImplicit: true }) as Record<string, unknown>;
  return { ...json, registrable_domains: [...new Set(endpointsOf(chunk).map(({ host }) => registrableDomain(host)))] };
}

/** What `draft -o json` prints. */
export function draftData(sandbox: string, draft: Draft): Record<string, unknown> {
  return {
    sandbox,
    draft_version: Number(draft.version),
    rolling_summary: draft.summary,
    pending: draft.chunks.filter(({ status }) => status === "pending").length,
    chunks: draft.chunks.map(chunkData),
  };
}
