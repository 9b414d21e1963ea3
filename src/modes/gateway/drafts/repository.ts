import type { Database } from "bun:sqlite";
import type { Backoff } from "./backoff.ts";
import type { Chunk, ChunkStage, Denial, DenialKey } from "./chunk.ts";
import { keysOf } from "./chunk.ts";
import { MAX_DENIALS, MAX_DENIALS_WITH_REQUESTS, MAX_HISTORY_ENTRIES } from "./limits.ts";
import { type ChunkRow, chunkFromRow, type DenialRow, denialFromRow } from "./rows.ts";
import type { ChunkStatus } from "./state.ts";

/** One line of the append-only history. */
export interface HistoryEntry {
  readonly chunkId: string;
  readonly time: number;
  readonly eventType: string;
  readonly actor: string;
  readonly oldStatus: string;
  readonly newStatus: string;
  readonly versionBefore: number;
  readonly versionAfter: number;
  readonly reason: string;
  readonly description: string;
}

/** Counters of one sandbox's drafts. */
export interface DraftCounters {
  /** Grows with every change that a watcher could see. */
  readonly draftVersion: number;
  /** Denials that neither the sandbox nor the gateway had room for. */
  readonly overflowCount: number;
  readonly lastAnalyzedTime: number | undefined;
}

/** Fields of a chunk that change after it was made. */
export type ChunkChange = Partial<
  Pick<
    Chunk,
    | "status"
    | "rule"
    | "edited"
    | "hitCount"
    | "lastSeen"
    | "pendingSince"
    | "decidedTime"
    | "viewedTime"
    | "rejectionReason"
    | "applicationError"
    | "dnsNote"
    | "applied"
    | "lifetime"
    | "grantId"
  >
>;

/** Everything the draft service keeps; the only file that knows its tables. */
export class DraftRepository {
  constructor(private readonly db: Database) {}

  chunk(sandboxId: string, id: string): Chunk | undefined {
    const row = this.db.query<ChunkRow, [string, string]>("SELECT * FROM draft_chunks WHERE sandbox_id = ? AND id = ?").get(sandboxId, id);
    return row ? chunkFromRow(row) : undefined;
  }

  /** Ids that begin with `prefix`, at most two: enough to tell unique from ambiguous. */
  idsWithPrefix(sandboxId: string, prefix: string): string[] {
    return this.db
      .query<{ id: string }, [string, number, string]>("SELECT id FROM draft_chunks WHERE sandbox_id = ? AND substr(id, 1, ?) = ? LIMIT 2")
      .all(sandboxId, prefix.length, prefix)
      .map(({ id }) => id);
  }

  /** Chunks in the order they were made, after `after` (a creation rank), at most `limit`. Empty status = all. */
  chunks(sandboxId: string, status: string, after = 0, limit = -1): { rank: number; chunk: Chunk }[] {
    return this.db
      .query<ChunkRow, [string, string, number, number]>(
        `SELECT * FROM draft_chunks
         WHERE sandbox_id = ?1 AND (?2 = '' OR status = ?2) AND rank > ?3 ORDER BY rank LIMIT ?4`,
      )
      .all(sandboxId, status, after, limit)
      .map((row) => ({ rank: row.rank, chunk: chunkFromRow(row) }));
  }

  pending(sandboxId: string): Chunk[] {
    return this.chunks(sandboxId, "pending").map(({ chunk }) => chunk);
  }

  /** Approved chunks whose approval ends by itself. */
  passing(sandboxId: string): Chunk[] {
    return this.chunks(sandboxId, "approved")
      .map(({ chunk }) => chunk)
      .filter(({ lifetime }) => lifetime !== "always");
  }

  insert(chunk: Chunk): void {
    this.db
      .query(
        `INSERT INTO draft_chunks (id, sandbox_id, status, stage, analysis_mode, model_id, rule_name, rule, binary, rationale, escaped, edited,
           offered_confidence, supersedes, hit_count, first_seen, last_seen, created_time, pending_since)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        chunk.id,
        chunk.sandboxId,
        chunk.status,
        chunk.stage,
        chunk.analysisMode,
        chunk.modelId,
        chunk.ruleName,
        JSON.stringify(chunk.rule),
        chunk.binary,
        chunk.rationale,
        Number(chunk.escaped),
        Number(chunk.edited),
        chunk.offeredConfidence,
        chunk.supersedes,
        chunk.hitCount,
        chunk.firstSeen,
        chunk.lastSeen,
        chunk.createdTime,
        chunk.pendingSince,
      );
    this.writeKeys(chunk);
  }

  /** Writes the changed fields of a chunk and keeps its keys in step with status and rule. */
  update(before: Chunk, change: ChunkChange): Chunk {
    const after: Chunk = { ...before, ...change };
    this.db
      .query(
        `UPDATE draft_chunks SET status = ?, rule = ?, edited = ?, hit_count = ?, last_seen = ?, pending_since = ?, decided_time = ?, viewed_time = ?,
           rejection_reason = ?, application_error = ?, dns_note = ?, applied_key = ?, applied_rule = ?, lifetime = ?, grant_id = ?
         WHERE id = ?`,
      )
      .run(
        after.status,
        JSON.stringify(after.rule),
        Number(after.edited),
        after.hitCount,
        after.lastSeen,
        after.pendingSince,
        after.decidedTime ?? null,
        after.viewedTime ?? null,
        after.rejectionReason,
        after.applicationError,
        after.dnsNote,
        after.applied?.key ?? null,
        after.applied ? JSON.stringify(after.applied.rule) : null,
        after.lifetime,
        after.grantId,
        after.id,
      );
    if (change.status !== undefined || change.rule !== undefined) {
      this.db.query("DELETE FROM draft_chunk_keys WHERE chunk_id = ?").run(after.id);
      this.writeKeys(after);
    }
    return after;
  }

  private writeKeys(chunk: Chunk): void {
    const insert = this.db.query(
      "INSERT OR IGNORE INTO draft_chunk_keys (chunk_id, sandbox_id, host, port, binary, stage, open) VALUES (?, ?, ?, ?, ?, ?, ?)",
    );
    const taken = this.db.query<{ chunk_id: string }, [string, string, number, string, string, string]>(
      `SELECT chunk_id FROM draft_chunk_keys
       WHERE sandbox_id = ? AND host = ? AND port = ? AND binary = ? AND stage = ? AND open = 1 AND chunk_id <> ?`,
    );
    for (const { host, port, binary } of keysOf(chunk.rule)) {
      const open = chunk.status === "pending";
      if (open && taken.get(chunk.sandboxId, host, port, binary, chunk.stage, chunk.id))
        throw new Error(`(${host}, ${port}, ${binary}) is open in another chunk`);
      insert.run(chunk.id, chunk.sandboxId, host, port, binary, chunk.stage, Number(open));
    }
  }

  /** Ids of the open chunks that hold any of these keys in this stage. */
  openFor(sandboxId: string, stage: ChunkStage, keys: readonly DenialKey[]): string[] {
    return this.holders("open = 1 AND stage = ?5", sandboxId, keys, stage);
  }

  /** Ids of the chunks of a status that hold any of these keys in this stage. */
  withStatus(sandboxId: string, status: ChunkStatus, stage: ChunkStage, keys: readonly DenialKey[]): string[] {
    return this.holders("stage = ?5", sandboxId, keys, stage).filter((id) => this.chunk(sandboxId, id)?.status === status);
  }

  private holders(condition: string, sandboxId: string, keys: readonly DenialKey[], stage: ChunkStage): string[] {
    const query = this.db.query<{ chunk_id: string }, [string, string, number, string, string]>(
      `SELECT chunk_id FROM draft_chunk_keys WHERE sandbox_id = ?1 AND host = ?2 AND port = ?3 AND binary = ?4 AND ${condition}`,
    );
    return [...new Set(keys.flatMap((key) => query.all(sandboxId, key.host, key.port, key.binary, stage).map((row) => row.chunk_id)))];
  }

  denial(sandboxId: string, key: DenialKey): Denial | undefined {
    const row = this.db
      .query<DenialRow, [string, string, number, string]>(
        "SELECT * FROM draft_denials WHERE sandbox_id = ? AND host = ? AND port = ? AND binary = ?",
      )
      .get(sandboxId, key.host, key.port, key.binary);
    return row ? denialFromRow(row) : undefined;
  }

  denials(sandboxId: string): Denial[] {
    return this.db
      .query<DenialRow, [string]>("SELECT * FROM draft_denials WHERE sandbox_id = ? ORDER BY last_seen DESC")
      .all(sandboxId)
      .map(denialFromRow);
  }

  putDenial(sandboxId: string, denial: Denial): void {
    this.db
      .query(
        `INSERT OR REPLACE INTO draft_denials (sandbox_id, host, port, binary, id, deny_reason, stages, ancestors, command_lines, resolved_ips,
           escaped, requests, total_count, bursts, first_seen, last_seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        sandboxId,
        denial.host,
        denial.port,
        denial.binary,
        denial.id,
        denial.reason,
        JSON.stringify(denial.stages),
        JSON.stringify(denial.ancestors),
        JSON.stringify(denial.commandLines),
        JSON.stringify(denial.resolvedIps),
        Number(denial.escaped),
        JSON.stringify(denial.requests),
        denial.totalCount,
        denial.bursts,
        denial.firstSeen,
        denial.lastSeen,
      );
  }

  /** Drops the oldest denials above the cap that no open chunk is about, and the requests of others that are old; returns how many of the first. */
  evictDenials(sandboxId: string): number {
    this.db
      .query(
        `UPDATE draft_denials SET requests = '[]' WHERE sandbox_id = ?1 AND (host, port, binary) IN (
           SELECT d.host, d.port, d.binary FROM draft_denials d WHERE d.sandbox_id = ?1 AND d.requests <> '[]' AND NOT EXISTS (
             SELECT 1 FROM draft_chunk_keys k WHERE k.sandbox_id = d.sandbox_id AND k.host = d.host AND k.port = d.port AND k.binary = d.binary AND k.open = 1)
           ORDER BY d.last_seen DESC LIMIT -1 OFFSET ?2)`,
      )
      .run(sandboxId, MAX_DENIALS_WITH_REQUESTS);
    return this.db
      .query(
        `DELETE FROM draft_denials WHERE sandbox_id = ?1 AND (host, port, binary) IN (
           SELECT d.host, d.port, d.binary FROM draft_denials d WHERE d.sandbox_id = ?1 AND NOT EXISTS (
             SELECT 1 FROM draft_chunk_keys k WHERE k.sandbox_id = d.sandbox_id AND k.host = d.host AND k.port = d.port AND k.binary = d.binary AND k.open = 1)
           ORDER BY d.last_seen LIMIT max(0, (SELECT count(*) FROM draft_denials WHERE sandbox_id = ?1) - ?2))`,
      )
      .run(sandboxId, MAX_DENIALS).changes;
  }

  backoff(sandboxId: string, host: string, port: number): Backoff | undefined {
    const row = this.db
      .query<{ rejections: number; refused_until: number; reason: string }, [string, string, number]>(
        "SELECT rejections, refused_until, reason FROM draft_backoff WHERE sandbox_id = ? AND host = ? AND port = ?",
      )
      .get(sandboxId, host, port);
    return row ? { rejections: row.rejections, refusedUntil: row.refused_until, reason: row.reason } : undefined;
  }

  /** Sets the back-off of a host and port; undefined lifts it. */
  setBackoff(sandboxId: string, host: string, port: number, backoff: Backoff | undefined): void {
    if (!backoff) {
      this.db.query("DELETE FROM draft_backoff WHERE sandbox_id = ? AND host = ? AND port = ?").run(sandboxId, host, port);
      return;
    }
    this.db
      .query("INSERT OR REPLACE INTO draft_backoff (sandbox_id, host, port, rejections, refused_until, reason) VALUES (?, ?, ?, ?, ?, ?)")
      .run(sandboxId, host, port, backoff.rejections, backoff.refusedUntil, backoff.reason);
  }

  record(sandboxId: string, entry: HistoryEntry): void {
    this.db
      .query(
        `INSERT INTO draft_history (sandbox_id, chunk_id, time, event_type, actor, old_status, new_status, version_before, version_after, reason, description)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        sandboxId,
        entry.chunkId,
        entry.time,
        entry.eventType,
        entry.actor,
        entry.oldStatus,
        entry.newStatus,
        entry.versionBefore,
        entry.versionAfter,
        entry.reason,
        entry.description,
      );
  }

  /** The newest entries, oldest first. */
  history(sandboxId: string): HistoryEntry[] {
    return this.db
      .query<HistoryEntry, [string, number]>(
        `SELECT chunk_id AS chunkId, time, event_type AS eventType, actor, old_status AS oldStatus, new_status AS newStatus,
           version_before AS versionBefore, version_after AS versionAfter, reason, description
         FROM draft_history WHERE sandbox_id = ? ORDER BY sequence DESC LIMIT ?`,
      )
      .all(sandboxId, MAX_HISTORY_ENTRIES)
      .reverse();
  }

  counters(sandboxId: string): DraftCounters {
    const row = this.db
      .query<{ draft_version: number; overflow_count: number; last_analyzed_time: number | null }, [string]>(
        "SELECT draft_version, overflow_count, last_analyzed_time FROM draft_state WHERE sandbox_id = ?",
      )
      .get(sandboxId);
    return {
      draftVersion: row?.draft_version ?? 0,
      overflowCount: row?.overflow_count ?? 0,
      lastAnalyzedTime: row?.last_analyzed_time ?? undefined,
    };
  }

  /** Raises the draft version by one and returns it. */
  nextVersion(sandboxId: string): number {
    this.touch(sandboxId);
    this.db.query("UPDATE draft_state SET draft_version = draft_version + 1 WHERE sandbox_id = ?").run(sandboxId);
    return this.counters(sandboxId).draftVersion;
  }

  /** Notes an analysis and the denials that there was no room for. */
  analyzed(sandboxId: string, time: number, overflow: number): void {
    this.touch(sandboxId);
    this.db
      .query("UPDATE draft_state SET last_analyzed_time = ?, overflow_count = overflow_count + ? WHERE sandbox_id = ?")
      .run(time, overflow, sandboxId);
  }

  private touch(sandboxId: string): void {
    this.db.query("INSERT OR IGNORE INTO draft_state (sandbox_id) VALUES (?)").run(sandboxId);
  }

  /** Sandboxes that have something to settle. */
  sandboxesWithPending(): string[] {
    return this.db
      .query<{ sandbox_id: string }, []>("SELECT DISTINCT sandbox_id FROM draft_chunks WHERE status = 'pending'")
      .all()
      .map((row) => row.sandbox_id);
  }

  /** Forgets everything about a sandbox that is gone. */
  forget(sandboxId: string): void {
    for (const table of ["draft_chunk_keys", "draft_chunks", "draft_denials", "draft_backoff", "draft_history", "draft_state"]) {
      this.db.query(`DELETE FROM ${table} WHERE sandbox_id = ?`).run(sandboxId);
    }
  }
}
