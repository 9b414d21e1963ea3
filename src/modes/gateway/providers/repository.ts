import type { Database } from "bun:sqlite";
import { OpenShellError } from "../../../error.ts";
import type { Vault } from "./vault.ts";

/** An account at a service, with its secrets in clear: for the gateway's memory alone. */
export interface ProviderRecord {
  readonly id: string;
  readonly workspace: string;
  readonly name: string;
  /** Canonical: an alias that was given has become the name it stands for. */
  readonly type: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly resourceVersion: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Nothing secret: base URLs, regions, account names. */
  readonly config: Readonly<Record<string, string>>;
  /** Secrets by the variable that programs know them as. */
  readonly credentials: Readonly<Record<string, string>>;
  /** When a credential ends, by its name. Milliseconds since the epoch. */
  readonly expirations: Readonly<Record<string, number>>;
}

/** What may change; the type is fixed. */
export type ProviderChange = Partial<Pick<ProviderRecord, "labels" | "annotations" | "config" | "credentials" | "expirations">>;

interface Row {
  id: string;
  workspace: string;
  name: string;
  type: string;
  created_at: number;
  resource_version: number;
  labels: string;
  annotations: string;
  config: string;
  credentials: Uint8Array;
  expirations: string;
}

export interface ProviderRepository {
  get(id: string): ProviderRecord | undefined;
  byName(workspace: string, name: string): ProviderRecord | undefined;
  /** Names in order after `after`, at most `limit`. */
  list(workspace: string | undefined, after: readonly [string, string], limit: number): ProviderRecord[];
  /** Throws `already_exists` for a name that is taken in the workspace. */
  insert(record: ProviderRecord): void;
  /** Writes the change and counts the resource version up; `not_found` when it is gone. */
  update(id: string, change: ProviderChange): ProviderRecord;
  delete(id: string): boolean;
}

/** Whether a store holds sealed secrets; asked before the key is opened. */
export function holdsSecrets(db: Database): boolean {
  return db.query("SELECT 1 FROM providers LIMIT 1").get() !== null;
}

export function providerRepository(db: Database, vault: Vault): ProviderRepository {
  const byId = db.query<Row, [string]>("SELECT * FROM providers WHERE id = ?");
  const byName = db.query<Row, [string, string]>("SELECT * FROM providers WHERE workspace = ? AND name = ?");
  const page = db.query<Row, [string | null, string | null, string, string, number]>(
    "SELECT * FROM providers WHERE (? IS NULL OR workspace = ?) AND (workspace, name) > (?, ?) ORDER BY workspace, name LIMIT ?",
  );
  const insert = db.query<null, [string, string, string, string, number, number, string, string, string, Uint8Array, string]>(
    "INSERT INTO providers (id, workspace, name, type, created_at, resource_version, labels, annotations, config, credentials, expirations) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
  );
  const update = db.query<null, [number, string, string, string, Uint8Array, string, string]>(
    "UPDATE providers SET resource_version = ?, labels = ?, annotations = ?, config = ?, credentials = ?, expirations = ? WHERE id = ?",
  );
  const remove = db.query<null, [string]>("DELETE FROM providers WHERE id = ?");

  const toRecord = (row: Row): ProviderRecord => ({
    id: row.id,
    workspace: row.workspace,
    name: row.name,
    type: row.type,
    createdAt: row.created_at,
    resourceVersion: row.resource_version,
    labels: JSON.parse(row.labels),
    annotations: JSON.parse(row.annotations),
    config: JSON.parse(row.config),
    // Opened when it is asked for: most who look at a provider do not, and one whose key is lost can still be deleted.
    get credentials() {
      return JSON.parse(new TextDecoder().decode(vault.open(row.credentials, row.id)));
    },
    expirations: JSON.parse(row.expirations),
  });
  const sealed = ({ id, credentials }: Pick<ProviderRecord, "id" | "credentials">): Uint8Array =>
    vault.seal(new TextEncoder().encode(JSON.stringify(credentials)), id);
  const optional = (row: Row | null): ProviderRecord | undefined => (row === null ? undefined : toRecord(row));
  return {
    get: (id) => optional(byId.get(id)),
    byName: (workspace, name) => optional(byName.get(workspace, name)),
    list: (workspace, [afterWorkspace, afterName], limit) =>
      page.all(workspace ?? null, workspace ?? null, afterWorkspace, afterName, limit).map(toRecord),
    insert(r) {
      if (byName.get(r.workspace, r.name) !== null) {
        throw new OpenShellError("already_exists", `provider '${r.name}' already exists`, {
          next: `openshell provider update ${r.name}, or choose another name`,
        });
      }
      const json = [r.labels, r.annotations, r.config].map((value) => JSON.stringify(value)) as [string, string, string];
      insert.run(r.id, r.workspace, r.name, r.type, r.createdAt, r.resourceVersion, ...json, sealed(r), JSON.stringify(r.expirations));
    },
    update(id, change) {
      const row = byId.get(id);
      if (row === null) throw new OpenShellError("not_found", "provider not found");
      const before = toRecord(row);
      const after: ProviderRecord = { ...before, ...change, resourceVersion: before.resourceVersion + 1 };
      const json = [after.labels, after.annotations, after.config].map((value) => JSON.stringify(value)) as [string, string, string];
      update.run(after.resourceVersion, ...json, sealed(after), JSON.stringify(after.expirations), id);
      return after;
    },
    delete: (id) => remove.run(id).changes > 0,
  };
}
