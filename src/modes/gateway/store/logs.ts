import { Database } from "bun:sqlite";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { type SandboxLogLine, SandboxLogLineSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";

/** Lines kept per sandbox. */
export const LOG_LINES_KEPT = 2000;
/** Lines over the limit before old ones are removed, so that removal costs little per line. */
const TRIM_SLACK = 500;

export interface LogStore extends Disposable {
  append(sandboxId: string, lines: readonly SandboxLogLine[]): void;
  /** The last `limit` lines, oldest first. */
  tail(sandboxId: string, limit: number): SandboxLogLine[];
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

/** Logs have a file of their own: they are many, and losing the last ones in a power cut is no loss of a decision. */
export function openLogStore(file: string): LogStore {
  const db = new Database(file, { create: true, strict: true });
  db.run("PRAGMA journal_mode = WAL");
  db.run("PRAGMA synchronous = NORMAL");
  db.run(
    "CREATE TABLE IF NOT EXISTS lines (id INTEGER PRIMARY KEY AUTOINCREMENT, sandbox_id TEXT NOT NULL, time INTEGER NOT NULL, level TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL, message TEXT NOT NULL, fields TEXT NOT NULL) STRICT",
  );
  db.run("CREATE INDEX IF NOT EXISTS lines_by_sandbox ON lines (sandbox_id, id)");
  const insert = db.query<null, [string, number, string, string, string, string, string]>(
    "INSERT INTO lines (sandbox_id, time, level, source, target, message, fields) VALUES (?, ?, ?, ?, ?, ?, ?)",
  );
  const tail = db.query<Row, [string, number]>("SELECT * FROM lines WHERE sandbox_id = ? ORDER BY id DESC LIMIT ?");
  const total = db.query<{ n: number }, [string]>("SELECT count(*) AS n FROM lines WHERE sandbox_id = ?");
  const trim = db.query<null, [string, string, number]>(
    "DELETE FROM lines WHERE sandbox_id = ? AND id <= (SELECT id FROM lines WHERE sandbox_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
  );
  const counts = new Map<string, number>();
  const countOf = (sandboxId: string): number => counts.get(sandboxId) ?? total.get(sandboxId)?.n ?? 0;
  return {
    append(sandboxId, lines) {
      let count = countOf(sandboxId) + lines.length;
      db.transaction(() => {
        for (const line of lines) {
          const time = line.eventTime === undefined ? 0 : timestampMs(line.eventTime);
          insert.run(sandboxId, time, line.level, line.source, line.target, line.message, JSON.stringify(line.fields));
        }
        if (count > LOG_LINES_KEPT + TRIM_SLACK) {
          trim.run(sandboxId, sandboxId, LOG_LINES_KEPT);
          count = LOG_LINES_KEPT;
        }
      })();
      counts.set(sandboxId, count);
    },
    tail: (sandboxId, limit) =>
      tail
        .all(sandboxId, limit)
        .reverse()
        .map((row) => toLine(sandboxId, row)),
    count: countOf,
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
