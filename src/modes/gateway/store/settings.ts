import type { Database } from "bun:sqlite";

export type SettingScalar = string | number | boolean;

/** The gateway's own scope; every other scope is a sandbox id. */
export const GLOBAL_SCOPE = "";

export interface SettingsRepository {
  get(scope: string, key: string): SettingScalar | undefined;
  /** Every value of a scope, by its key. */
  all(scope: string): ReadonlyMap<string, SettingScalar>;
  /** Undefined deletes. Returns whether anything changed, and counts the revision up if so. */
  put(scope: string, key: string, value: SettingScalar | undefined): boolean;
  deleteScope(scope: string): void;
  /** Counts every change of any setting. */
  revision(): number;
}

export function settingsRepository(db: Database): SettingsRepository {
  const get = db.query<{ value: string }, [string, string]>("SELECT value FROM settings WHERE scope = ? AND key = ?");
  const all = db.query<{ key: string; value: string }, [string]>("SELECT key, value FROM settings WHERE scope = ?");
  const upsert = db.query<null, [string, string, string]>(
    "INSERT INTO settings VALUES (?, ?, ?) ON CONFLICT (scope, key) DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
  );
  const remove = db.query<null, [string, string]>("DELETE FROM settings WHERE scope = ? AND key = ?");
  const count = db.query<null, []>(
    "INSERT INTO meta VALUES ('settings_revision', '1') ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1",
  );
  const revision = db.query<{ value: string }, []>("SELECT value FROM meta WHERE key = 'settings_revision'");
  return {
    get(scope, key) {
      const row = get.get(scope, key);
      return row === null ? undefined : (JSON.parse(row.value) as SettingScalar);
    },
    all: (scope) => new Map(all.all(scope).map(({ key, value }) => [key, JSON.parse(value) as SettingScalar])),
    put(scope, key, value) {
      const result = value === undefined ? remove.run(scope, key) : upsert.run(scope, key, JSON.stringify(value));
      if (result.changes > 0) count.run();
      return result.changes > 0;
    },
    deleteScope: (scope) => void db.run("DELETE FROM settings WHERE scope = ?", [scope]),
    revision: () => Number(revision.get()?.value ?? 0),
  };
}
