import type { Database } from "bun:sqlite";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { OpenShellError } from "../../../error.ts";
import {
  type SandboxSpec,
  SandboxSpecSchema,
  type SandboxStatus,
  SandboxStatusSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";

/** What the operator or user wants of a sandbox; the phase says what is. */
export type Desired = "running" | "stopped" | "deleted";

export interface SandboxRecord {
  readonly id: string;
  readonly workspace: string;
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly resourceVersion: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: SandboxSpec;
  readonly status: SandboxStatus;
  readonly desired: Desired;
  readonly instanceId: string;
  readonly uid: number;
}

/** What changes in a sandbox's life; the rest is fixed at creation. */
export type SandboxChange = Partial<Pick<SandboxRecord, "spec" | "status" | "desired" | "instanceId" | "annotations">>;

interface Row {
  id: string;
  workspace: string;
  name: string;
  created_at: number;
  resource_version: number;
  labels: string;
  annotations: string;
  spec: Uint8Array;
  status: Uint8Array;
  desired: Desired;
  instance_id: string;
  uid: number;
}

export interface SandboxRepository {
  get(id: string): SandboxRecord | undefined;
  byName(workspace: string, name: string): SandboxRecord | undefined;
  /** After `after` in the order (workspace, name); all workspaces when `workspace` is undefined. */
  list(workspace: string | undefined, after: readonly [string, string], limit: number): SandboxRecord[];
  all(): SandboxRecord[];
  uids(): Set<number>;
  /** Throws `already_exists` for a name that is taken in the workspace. */
  insert(record: SandboxRecord): void;
  /** Writes the change, counts the resource version up and returns the new record; one that changes nothing counts nothing. `not_found` when it is gone. */
  update(id: string, change: SandboxChange): SandboxRecord;
  delete(id: string): boolean;
}

export function sandboxRepository(db: Database): SandboxRepository {
  const byId = db.query<Row, [string]>("SELECT * FROM sandboxes WHERE id = ?");
  const byName = db.query<Row, [string, string]>("SELECT * FROM sandboxes WHERE workspace = ? AND name = ?");
  const page = db.query<Row, [string | null, string | null, string, string, number]>(
    "SELECT * FROM sandboxes WHERE (? IS NULL OR workspace = ?) AND (workspace, name) > (?, ?) ORDER BY workspace, name LIMIT ?",
  );
  const everything = db.query<Row, []>("SELECT * FROM sandboxes ORDER BY created_at, id");
  const insert = db.query<null, [string, string, string, number, number, string, string, Uint8Array, Uint8Array, string, string, number]>(
    "INSERT INTO sandboxes (id, workspace, name, created_at, resource_version, labels, annotations, spec, status, desired, instance_id, uid) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
  );
  const update = db.query<null, [number, string, Uint8Array, Uint8Array, string, string, string]>(
    "UPDATE sandboxes SET resource_version = ?, annotations = ?, spec = ?, status = ?, desired = ?, instance_id = ? WHERE id = ?",
  );
  const remove = db.query<null, [string]>("DELETE FROM sandboxes WHERE id = ?");

  const get = (id: string): SandboxRecord | undefined => optional(byId.get(id));
  return {
    get,
    byName: (workspace, name) => optional(byName.get(workspace, name)),
    list: (workspace, [afterWorkspace, afterName], limit) =>
      page.all(workspace ?? null, workspace ?? null, afterWorkspace, afterName, limit).map(toRecord),
    all: () => everything.all().map(toRecord),
    uids: () =>
      new Set(
        db
          .query<{ uid: number }, []>("SELECT uid FROM sandboxes")
          .all()
          .map((row) => row.uid),
      ),
    insert(r) {
      if (byName.get(r.workspace, r.name) !== null) {
        throw new OpenShellError("already_exists", `sandbox '${r.name}' already exists`, {
          next: `openshell sandbox delete ${r.name}, or choose another name`,
        });
      }
      insert.run(
        ...([r.id, r.workspace, r.name, r.createdAt, r.resourceVersion, JSON.stringify(r.labels), JSON.stringify(r.annotations)] as const),
        toBinary(SandboxSpecSchema, r.spec),
        toBinary(SandboxStatusSchema, r.status),
        ...([r.desired, r.instanceId, r.uid] as const),
      );
    },
    update(id, change) {
      const row = byId.get(id);
      if (row === null) throw new OpenShellError("not_found", "sandbox not found");
      const before = toRecord(row);
      const after: SandboxRecord = { ...before, ...change, resourceVersion: before.resourceVersion + 1 };
      const annotations = change.annotations === undefined ? row.annotations : JSON.stringify(after.annotations);
      const spec = change.spec === undefined ? row.spec : toBinary(SandboxSpecSchema, after.spec);
      const status = change.status === undefined ? row.status : toBinary(SandboxStatusSchema, after.status);
      const same =
        annotations === row.annotations &&
        after.desired === row.desired &&
        after.instanceId === row.instance_id &&
        Buffer.compare(spec, row.spec) === 0 &&
        Buffer.compare(status, row.status) === 0;
      if (same) return before;
      update.run(after.resourceVersion, annotations, spec, status, after.desired, after.instanceId, id);
      return after;
    },
    delete: (id) => remove.run(id).changes > 0,
  };
}

/** A copy of a status with some fields replaced; records are never changed in place. */
export function withStatus(status: SandboxStatus, change: Partial<Omit<SandboxStatus, "$typeName" | "$unknown">>): SandboxStatus {
  return create(SandboxStatusSchema, { ...status, ...change });
}

function optional(row: Row | null): SandboxRecord | undefined {
  return row === null ? undefined : toRecord(row);
}

function toRecord(row: Row): SandboxRecord {
  return {
    id: row.id,
    workspace: row.workspace,
    name: row.name,
    createdAt: row.created_at,
    resourceVersion: row.resource_version,
    labels: JSON.parse(row.labels),
    annotations: JSON.parse(row.annotations),
    spec: fromBinary(SandboxSpecSchema, row.spec),
    status: fromBinary(SandboxStatusSchema, row.status),
    desired: row.desired,
    instanceId: row.instance_id,
    uid: row.uid,
  };
}
