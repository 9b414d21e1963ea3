import type { Database } from "bun:sqlite";

export interface GlobalPolicyRecord {
  readonly version: number;
  readonly hash: string;
  /** openshell.sandbox.v1.SandboxPolicy, canonical. */
  readonly policy: Uint8Array;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** When it was deleted or replaced; undefined: in force. */
  readonly deletedAt: number | undefined;
  readonly provenance: Readonly<Record<string, string>>;
}

interface Row {
  version: number;
  hash: string;
  policy: Uint8Array;
  created_at: number;
  deleted_at: number | null;
  provenance: string;
}

export interface GlobalPolicyRepository {
  /** The one in force. */
  active(): GlobalPolicyRecord | undefined;
  get(version: number): GlobalPolicyRecord | undefined;
  /** Newest first, versions below `before`. */
  list(before: number, limit: number): GlobalPolicyRecord[];
  /** Adds the next version in place of the one in force, and returns its number. */
  replace(record: Omit<GlobalPolicyRecord, "version" | "deletedAt">): number;
  /** Ends the one in force; false when there was none. */
  end(at: number): boolean;
}

export function globalPolicyRepository(db: Database): GlobalPolicyRepository {
  const active = db.query<Row, []>("SELECT * FROM global_policies WHERE deleted_at IS NULL ORDER BY version DESC LIMIT 1");
  const get = db.query<Row, [number]>("SELECT * FROM global_policies WHERE version = ?");
  const list = db.query<Row, [number, number]>("SELECT * FROM global_policies WHERE version < ? ORDER BY version DESC LIMIT ?");
  const insert = db.query<{ version: number }, [string, Uint8Array, number, string]>(
    "INSERT INTO global_policies (version, hash, policy, created_at, provenance) SELECT COALESCE(MAX(version), 0) + 1, ?, ?, ?, ? FROM global_policies RETURNING version",
  );
  const end = db.query<null, [number]>("UPDATE global_policies SET deleted_at = ? WHERE deleted_at IS NULL");
  return {
    active: () => optional(active.get()),
    get: (version) => optional(get.get(version)),
    list: (before, limit) => list.all(before, limit).map(toRecord),
    replace({ hash, policy, createdAt, provenance }) {
      end.run(createdAt);
      return insert.get(hash, policy, createdAt, JSON.stringify(provenance))?.version ?? 0;
    },
    end: (at) => end.run(at).changes > 0,
  };
}

function optional(row: Row | null): GlobalPolicyRecord | undefined {
  return row === null ? undefined : toRecord(row);
}

function toRecord(row: Row): GlobalPolicyRecord {
  return {
    version: row.version,
    hash: row.hash,
    policy: row.policy,
    createdAt: row.created_at,
    deletedAt: row.deleted_at ?? undefined,
    provenance: JSON.parse(row.provenance),
  };
}
