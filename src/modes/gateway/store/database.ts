import { Database } from "bun:sqlite";
import { closeSync, constants, fchmodSync, openSync } from "node:fs";
import { OpenShellError } from "../../../error.ts";
import { type Migration, migrations } from "./migrations.ts";

/** The store of one gateway: a database and the one way to change several things at once. */
export interface Store extends Disposable {
  readonly db: Database;
  /** Runs `fn` so that all of its writes happen or none; nested calls join the outer one. */
  transaction<T>(fn: () => T): T;
  /**
   * The same for what supervisors say of themselves, which they say again when they come back: a kill loses nothing of it, a power cut may lose
   * the last. It does not wait for the disk, which a thousand sessions that come at once would have everybody else wait for.
   */
  derived<T>(fn: () => T): T;
  /** Runs `fn` once what was written is durable: at once outside a transaction, never when the transaction is rolled back. */
  afterCommit(fn: () => void): void;
}

/** Waiting blocks the event loop, and only an operator's own sqlite3 shell can hold the lock. */
const BUSY_TIMEOUT_MS = 200;

/**
 * Opens the store and brings its schema up to date. Acknowledged writes survive a kill -9 and a power cut (WAL, synchronous=FULL).
 * A schema newer than this binary is refused.
 */
export function openStore(file: string, steps: readonly Migration[] = migrations): Store {
  const db = openPrivate(file);
  db.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
  db.run("PRAGMA journal_mode = WAL");
  db.run("PRAGMA synchronous = FULL");
  db.run("PRAGMA foreign_keys = ON");
  migrate(db, file, steps);
  return storeOn(db);
}

/**
 * Opens a database, or makes it, for its owner alone: it holds what people gave their sandboxes, and a copy of it has its mode. The files that
 * SQLite makes beside it take that over.
 */
export function openPrivate(file: string): Database {
  if (file !== ":memory:") {
    const fd = openSync(file, constants.O_RDWR | constants.O_CREAT, 0o600);
    fchmodSync(fd, 0o600);
    closeSync(fd);
  }
  return new Database(file, { create: true, strict: true });
}

/** The transactions of a database whose schema is up to date. */
export function storeOn(db: Database): Store {
  let waiting: (() => void)[] = [];
  const commit = <T>(fn: () => T): { readonly result: T; readonly told: readonly (() => void)[] } => {
    waiting = [];
    const result = db.transaction(fn).immediate();
    const told = waiting;
    waiting = [];
    return { result, told };
  };
  const commitUnsynced = <T>(fn: () => T): ReturnType<typeof commit<T>> => {
    db.run("PRAGMA synchronous = NORMAL");
    try {
      return commit(fn);
    } finally {
      db.run("PRAGMA synchronous = FULL");
    }
  };
  const run = <T>(fn: () => T, how: typeof commit): T => {
    if (db.inTransaction) return fn();
    const { result, told } = how(fn);
    for (const tell of told) tell();
    return result;
  };
  return {
    db,
    transaction: (fn) => run(fn, commit),
    derived: (fn) => run(fn, commitUnsynced),
    afterCommit(fn) {
      if (db.inTransaction) waiting.push(fn);
      else fn();
    },
    [Symbol.dispose]: () => db.close(),
  };
}

function migrate(db: Database, file: string, steps: readonly Migration[]): void {
  db.run("CREATE TABLE IF NOT EXISTS schema_steps (number INTEGER PRIMARY KEY) STRICT");
  const done = new Set(
    db
      .query<{ number: number }, []>("SELECT number FROM schema_steps")
      .all()
      .map((row) => row.number),
  );
  const known = new Set(steps.map((step) => step.number));
  const foreign = [...done].filter((number) => !known.has(number));
  if (foreign.length > 0) {
    throw new OpenShellError(
      "failed_precondition",
      `the store ${file} was written by a newer openshell (schema step ${foreign.join(", ")})`,
      {
        next: "start the newer version, or give --state-dir another directory",
      },
    );
  }
  for (const step of [...steps].sort((a, b) => a.number - b.number)) {
    if (done.has(step.number)) continue;
    db.transaction(() => {
      db.run(step.sql);
      db.run("INSERT INTO schema_steps VALUES (?)", [step.number]);
    }).immediate();
  }
}
