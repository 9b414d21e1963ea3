import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { type SandboxLogLine, SandboxLogLineSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { openPrivate } from "./database.ts";

/** Lines kept per sandbox, and the most that one answer holds. */
export const LOG_LINES_KEPT = 2000;
/** Denials stay when other lines push them out: who looks a week later wants to know what was refused. Milliseconds; 30 days. */
export const DENIALS_KEPT_MS = 30 * 24 * 60 * 60 * 1000;
/** Denials kept per sandbox; an agent decides how many there are. */
export const DENIALS_KEPT = 10_000;
/** Lines over a limit before old ones are removed, so that removal costs little per line. */
const TRIM_SLACK = 500;
/** Lines read at once: most questions are about fewer. */
const PAGE_LINES = 500;
/** How often denials are looked at for their age. Milliseconds; an hour more or less in 30 days is nothing. */
const AGE_INTERVAL_MS = 60 * 60 * 1000;
/** Of a line that is a denial. */
const DENIED = "denied";

export interface LogStore extends Disposable {
  append(sandboxId: string, lines: readonly SandboxLogLine[]): void;
  /** Lines not older than `since` (milliseconds since the epoch), newest first, read as they are asked for. */
  newest(sandboxId: string, since?: number): Iterable<SandboxLogLine>;
  count(sandboxId: string): number;
  deleteSandbox(sandboxId: string): void;
}

interface Row {
  time: number;
  level: string;
  source: string;
  target: string;
  message: string;
  fields: string;
}

/** Whether a line tells of a denial; supervisors say so in a field. */
export function isDenial({ fields }: SandboxLogLine): boolean {
  return fields["action"] === DENIED;
}

/**
 * Logs have a file of their own: they are many, and losing the last ones in a power cut is no loss of a decision. Per sandbox a ring of
 * the newest lines, and beside it the denials of 30 days.
 */
export function openLogStore(file: string, clock: { now(): number } = { now: Date.now }): LogStore {
  const db = openPrivate(file);
  db.run("PRAGMA journal_mode = WAL");
  db.run("PRAGMA synchronous = NORMAL");
  db.run(
    "CREATE TABLE IF NOT EXISTS lines (id INTEGER PRIMARY KEY AUTOINCREMENT, sandbox_id TEXT NOT NULL, time INTEGER NOT NULL, level TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL, message TEXT NOT NULL, fields TEXT NOT NULL) STRICT",
  );
  const columns = db.query<{ name: string }, []>("SELECT name FROM pragma_table_info('lines')").all();
  if (!columns.some(({ name }) => name === "denial")) db.run("ALTER TABLE lines ADD COLUMN denial INTEGER NOT NULL DEFAULT 0");
  db.run("CREATE INDEX IF NOT EXISTS lines_by_sandbox ON lines (sandbox_id, id)");
  db.run("CREATE INDEX IF NOT EXISTS lines_by_kind ON lines (sandbox_id, denial, id)");
  db.run("CREATE INDEX IF NOT EXISTS denials_by_age ON lines (time) WHERE denial = 1");
  const insert = db.query<null, [string, number, string, string, string, string, string, number]>(
    "INSERT INTO lines (sandbox_id, time, level, source, target, message, fields, denial) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
  );
  const newest = db.query<Row & { id: number }, [string, number, number]>(
    `SELECT * FROM lines WHERE sandbox_id = ? AND id < ? AND time >= ? ORDER BY id DESC LIMIT ${PAGE_LINES}`,
  );
  const total = db.query<{ n: number }, [string, number]>("SELECT count(*) AS n FROM lines WHERE sandbox_id = ? AND denial = ?");
  const trim = db.query<null, { id: string; denial: number; kept: number }>(
    "DELETE FROM lines WHERE sandbox_id = $id AND denial = $denial AND id <= (SELECT id FROM lines WHERE sandbox_id = $id AND denial = $denial ORDER BY id DESC LIMIT 1 OFFSET $kept)",
  );
  const age = db.query<null, [number]>("DELETE FROM lines WHERE denial = 1 AND time < ?");
  const counts = new Map<string, [number, number]>();
  const countsOf = (id: string): [number, number] => counts.get(id) ?? [total.get(id, 0)?.n ?? 0, total.get(id, 1)?.n ?? 0];
  let aged = Number.NEGATIVE_INFINITY;
  const ageOut = (): void => {
    const now = clock.now();
    if (now - aged < AGE_INTERVAL_MS) return;
    aged = now;
    if (age.run(now - DENIALS_KEPT_MS).changes > 0) counts.clear();
  };
  return {
    append(sandboxId, lines) {
      ageOut();
      const count: [number, number] = [...countsOf(sandboxId)];
      db.transaction(() => {
        for (const line of lines) {
          const time = line.eventTime === undefined ? 0 : timestampMs(line.eventTime);
          const kind = isDenial(line) ? 1 : 0;
          insert.run(sandboxId, time, line.level, line.source, line.target, line.message, JSON.stringify(line.fields), kind);
          count[kind] += 1;
        }
        for (const [denial, kept] of [LOG_LINES_KEPT, DENIALS_KEPT].entries()) {
          if ((count[denial] ?? 0) <= kept + TRIM_SLACK) continue;
          trim.run({ id: sandboxId, denial, kept });
          count[denial] = kept;
        }
      })();
      counts.set(sandboxId, count);
    },
    *newest(sandboxId, since = 0) {
      ageOut();
      for (let before = Number.MAX_SAFE_INTEGER; ; ) {
        const rows = newest.all(sandboxId, before, since);
        for (const row of rows) yield toLine(sandboxId, row);
        const oldest = rows.at(-1);
        if (oldest === undefined || rows.length < PAGE_LINES) return;
        before = oldest.id;
      }
    },
    count(sandboxId) {
      const [others, denials] = countsOf(sandboxId);
      return others + denials;
    },
    deleteSandbox(sandboxId) {
      db.run("DELETE FROM lines WHERE sandbox_id = ?", [sandboxId]);
      counts.delete(sandboxId);
    },
    [Symbol.dispose]: () => db.close(),
  };
}

function toLine(sandboxId: string, row: Row): SandboxLogLine {
  return create(SandboxLogLineSchema, {
    sandboxId,
    eventTime: timestampFromMs(row.time),
    level: row.level,
    source: row.source,
    target: row.target,
    message: row.message,
    fields: JSON.parse(row.fields),
  });
}
