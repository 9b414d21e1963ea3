import type { Database } from "bun:sqlite";

export type RevisionStatus = "pending" | "loaded" | "failed" | "superseded";

export interface PolicyRevisionRecord {
  readonly sandboxId: string;
  readonly version: number;
  readonly hash: string;
  /** openshell.sandbox.v1.SandboxPolicy, canonical. */
  readonly policy: Uint8Array;
  readonly status: RevisionStatus;
  readonly loadError: string;
  readonly createdAt: number;
  readonly loadedAt: number | undefined;
  readonly provenance: Readonly<Record<string, string>>;
}

interface Row {
  sandbox_id: string;
  version: number;
  hash: string;
  policy: Uint8Array;
  status: RevisionStatus;
  load_error: string;
  created_at: number;
  loaded_at: number | null;
  provenance: string;
}

export interface PolicyRevisionRepository {
  latest(sandboxId: string): PolicyRevisionRecord | undefined;
  get(sandboxId: string, version: number): PolicyRevisionRecord | undefined;
  /** Newest first, versions below `before`. */
  list(sandboxId: string, before: number, limit: number): PolicyRevisionRecord[];
  insert(record: Omit<PolicyRevisionRecord, "status" | "loadError" | "loadedAt">): void;
  /** Marks a version loaded and every older pending or loaded one superseded. */
  markLoaded(sandboxId: string, version: number, at: number): boolean;
  markFailed(sandboxId: string, version: number, error: string): boolean;
}

export function policyRevisionRepository(db: Database): PolicyRevisionRepository {
  const latest = db.query<Row, [string]>("SELECT * FROM policy_revisions WHERE sandbox_id = ? ORDER BY version DESC LIMIT 1");
  const get = db.query<Row, [string, number]>("SELECT * FROM policy_revisions WHERE sandbox_id = ? AND version = ?");
  const list = db.query<Row, [string, number, number]>(
    "SELECT * FROM policy_revisions WHERE sandbox_id = ? AND version < ? ORDER BY version DESC LIMIT ?",
  );
  const insert = db.query<null, [string, number, string, Uint8Array, number, string]>(
    "INSERT INTO policy_revisions (sandbox_id, version, hash, policy, status, created_at, provenance) VALUES (?, ?, ?, ?, 'pending', ?, ?)",
  );
  const isLoaded = db.query<{ loaded: number }, [string, number]>(
    "SELECT status = 'loaded' AS loaded FROM policy_revisions WHERE sandbox_id = ? AND version = ?",
  );
  const loaded = db.query<null, [number, string, number]>(
    "UPDATE policy_revisions SET status = 'loaded', load_error = '', loaded_at = ? WHERE sandbox_id = ? AND version = ?",
  );
  const supersede = db.query<null, [string, number]>(
    "UPDATE policy_revisions SET status = 'superseded' WHERE sandbox_id = ? AND version < ? AND status IN ('pending', 'loaded')",
  );
  const failed = db.query<null, [string, string, number]>(
    "UPDATE policy_revisions SET status = 'failed', load_error = ? WHERE sandbox_id = ? AND version = ? AND status IN ('pending', 'failed')",
  );
  return {
    latest: (sandboxId) => optional(latest.get(sandboxId)),
    get: (sandboxId, version) => optional(get.get(sandboxId, version)),
    list: (sandboxId, before, limit) => list.all(sandboxId, before, limit).map(toRecord),
    insert(r) {
      insert.run(r.sandboxId, r.version, r.hash, r.policy, r.createdAt, JSON.stringify(r.provenance));
    },
    markLoaded(sandboxId, version, at) {
      const before = isLoaded.get(sandboxId, version);
      if (before === null) return false;
      // A supervisor that comes back says it again.
      if (before.loaded === 1) return true;
      loaded.run(at, sandboxId, version);
      supersede.run(sandboxId, version);
      return true;
    },
    markFailed: (sandboxId, version, error) => failed.run(error, sandboxId, version).changes > 0,
  };
}

function optional(row: Row | null): PolicyRevisionRecord | undefined {
  return row === null ? undefined : toRecord(row);
}

function toRecord(row: Row): PolicyRevisionRecord {
  return {
    sandboxId: row.sandbox_id,
    version: row.version,
    hash: row.hash,
    policy: row.policy,
    status: row.status,
    loadError: row.load_error,
    createdAt: row.created_at,
    loadedAt: row.loaded_at ?? undefined,
    provenance: JSON.parse(row.provenance),
  };
}
