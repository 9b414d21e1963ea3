import type { Database } from "bun:sqlite";

export interface AnsweredRequest {
  readonly method: string;
  readonly caller: string;
  readonly digest: string;
  readonly response: Uint8Array;
}

/** Answers are replayed for a day (wire/README). */
export const REPLAY_WINDOW_MS = 86_400_000;

export interface RequestIdRepository {
  find(requestId: string, now: number): AnsweredRequest | undefined;
  record(requestId: string, answered: AnsweredRequest, now: number): void;
  /** For a change that was remembered and then failed. */
  forget(requestId: string): void;
}

export function requestIdRepository(db: Database): RequestIdRepository {
  const find = db.query<AnsweredRequest, [string, number]>(
    "SELECT method, caller, digest, response FROM request_ids WHERE request_id = ? AND created_at > ?",
  );
  const record = db.query<null, [string, string, string, string, Uint8Array, number]>(
    "INSERT OR REPLACE INTO request_ids VALUES (?, ?, ?, ?, ?, ?)",
  );
  const expire = db.query<null, [number]>("DELETE FROM request_ids WHERE created_at <= ?");
  const forget = db.query<null, [string]>("DELETE FROM request_ids WHERE request_id = ?");
  return {
    forget: (requestId) => void forget.run(requestId),
    find: (requestId, now) => find.get(requestId, now - REPLAY_WINDOW_MS) ?? undefined,
    record(requestId, answered, now) {
      expire.run(now - REPLAY_WINDOW_MS);
      record.run(requestId, answered.method, answered.caller, answered.digest, answered.response, now);
    },
  };
}
