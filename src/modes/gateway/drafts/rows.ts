import type { NetworkRule } from "../../../policy/model.ts";
import type { AnalysisMode, Chunk, ChunkStage, Denial, Lifetime, RequestSample } from "./chunk.ts";
import type { ChunkStatus } from "./state.ts";

/** A row of `draft_chunks`. */
export interface ChunkRow {
  readonly rank: number;
  readonly id: string;
  readonly sandbox_id: string;
  readonly status: ChunkStatus;
  readonly stage: ChunkStage;
  readonly analysis_mode: AnalysisMode;
  readonly model_id: string;
  readonly rule_name: string;
  readonly rule: string;
  readonly binary: string;
  readonly rationale: string;
  readonly escaped: number;
  readonly edited: number;
  readonly offered_confidence: number;
  readonly supersedes: string;
  readonly hit_count: number;
  readonly first_seen: number;
  readonly last_seen: number;
  readonly created_time: number;
  readonly pending_since: number;
  readonly decided_time: number | null;
  readonly viewed_time: number | null;
  readonly rejection_reason: string;
  readonly application_error: string;
  readonly dns_note: string;
  readonly applied_key: string | null;
  readonly applied_rule: string | null;
  readonly lifetime: Lifetime;
  readonly grant_id: string;
}

export function chunkFromRow(row: ChunkRow): Chunk {
  return {
    id: row.id,
    sandboxId: row.sandbox_id,
    status: row.status,
    stage: row.stage,
    analysisMode: row.analysis_mode,
    modelId: row.model_id,
    ruleName: row.rule_name,
    rule: JSON.parse(row.rule) as NetworkRule,
    binary: row.binary,
    rationale: row.rationale,
    escaped: row.escaped !== 0,
    edited: row.edited !== 0,
    offeredConfidence: row.offered_confidence,
    supersedes: row.supersedes,
    hitCount: row.hit_count,
    firstSeen: row.first_seen,
    lastSeen: row.last_seen,
    createdTime: row.created_time,
    pendingSince: row.pending_since,
    decidedTime: row.decided_time ?? undefined,
    viewedTime: row.viewed_time ?? undefined,
    rejectionReason: row.rejection_reason,
    applicationError: row.application_error,
    dnsNote: row.dns_note,
    lifetime: row.lifetime,
    grantId: row.grant_id,
    applied:
      row.applied_key !== null && row.applied_rule !== null
        ? { key: row.applied_key, rule: JSON.parse(row.applied_rule) as NetworkRule }
        : undefined,
  };
}

/** A row of `draft_denials`. */
export interface DenialRow {
  readonly host: string;
  readonly port: number;
  readonly binary: string;
  readonly id: string;
  readonly deny_reason: string;
  readonly stages: string;
  readonly ancestors: string;
  readonly command_lines: string;
  readonly resolved_ips: string;
  readonly escaped: number;
  readonly requests: string;
  readonly total_count: number;
  readonly bursts: number;
  readonly first_seen: number;
  readonly last_seen: number;
}

export function denialFromRow(row: DenialRow): Denial {
  return {
    host: row.host,
    port: row.port,
    binary: row.binary,
    id: row.id,
    reason: row.deny_reason,
    stages: JSON.parse(row.stages) as string[],
    ancestors: JSON.parse(row.ancestors) as string[],
    commandLines: JSON.parse(row.command_lines) as string[],
    resolvedIps: JSON.parse(row.resolved_ips) as string[],
    escaped: row.escaped !== 0,
    requests: JSON.parse(row.requests) as RequestSample[],
    totalCount: row.total_count,
    bursts: row.bursts,
    firstSeen: row.first_seen,
    lastSeen: row.last_seen,
  };
}
