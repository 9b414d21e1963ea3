import type { Database } from "bun:sqlite";

/** A route as a person has set it. */
export interface StoredRoute {
  readonly workspace: string;
  readonly name: string;
  /** Name of a provider of the workspace. */
  readonly provider: string;
  readonly model: string;
  /** Milliseconds. */
  readonly timeout: number;
  /** Counts the changes. */
  readonly version: number;
}

export interface RouteRepository {
  get(workspace: string, name: string): StoredRoute | undefined;
  /** By name. */
  list(workspace: string): StoredRoute[];
  /** The version counts up when something differs. */
  put(route: Omit<StoredRoute, "version">): StoredRoute;
  /** Whether there was one. */
  delete(workspace: string, name: string): boolean;
}

export function routeRepository(db: Database): RouteRepository {
  const one = db.query<StoredRoute, [string, string]>("SELECT * FROM inference_routes WHERE workspace = ? AND name = ?");
  const all = db.query<StoredRoute, [string]>("SELECT * FROM inference_routes WHERE workspace = ? ORDER BY name");
  const upsert = db.query<StoredRoute, [string, string, string, string, number]>(
    `INSERT INTO inference_routes VALUES (?, ?, ?, ?, ?, 1)
     ON CONFLICT (workspace, name) DO UPDATE SET
       version = version + (provider <> excluded.provider OR model <> excluded.model OR timeout <> excluded.timeout),
       provider = excluded.provider, model = excluded.model, timeout = excluded.timeout
     RETURNING *`,
  );
  const remove = db.query<null, [string, string]>("DELETE FROM inference_routes WHERE workspace = ? AND name = ?");
  return {
    get: (workspace, name) => one.get(workspace, name) ?? undefined,
    list: (workspace) => all.all(workspace),
    put({ workspace, name, provider, model, timeout }) {
      const row = upsert.get(workspace, name, provider, model, timeout);
      if (row === null) throw new TypeError("a route was not stored");
      return row;
    },
    delete: (workspace, name) => remove.run(workspace, name).changes > 0,
  };
}
