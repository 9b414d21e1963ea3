-- Proposals of the policy advisor. Times are milliseconds since the epoch on the gateway's clock.

CREATE TABLE draft_state (
  sandbox_id         TEXT PRIMARY KEY,
  draft_version      INTEGER NOT NULL DEFAULT 0,
  overflow_count     INTEGER NOT NULL DEFAULT 0,
  last_analyzed_time INTEGER
) STRICT;

CREATE TABLE draft_chunks (
  rank              INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of creation, for pages
  id                TEXT NOT NULL UNIQUE,
  sandbox_id        TEXT NOT NULL,
  status            TEXT NOT NULL CHECK (status IN ('pending', 'approved', 'rejected', 'expired', 'superseded')),
  stage             TEXT NOT NULL CHECK (stage IN ('initial', 'refined')),
  analysis_mode     TEXT NOT NULL CHECK (analysis_mode IN ('mechanistic', 'model', 'agent_authored')),
  model_id          TEXT NOT NULL,
  rule_name         TEXT NOT NULL,
  rule              TEXT NOT NULL, -- the normalised rule as JSON
  binary            TEXT NOT NULL,
  rationale         TEXT NOT NULL,
  escaped           INTEGER NOT NULL, -- text of this chunk held bytes outside printable ASCII
  edited            INTEGER NOT NULL, -- a person replaced the proposed rule
  offered_confidence REAL NOT NULL, -- what the analyst said; shown only after the gateway's own rules
  supersedes        TEXT NOT NULL,
  hit_count         INTEGER NOT NULL,
  first_seen        INTEGER NOT NULL,
  last_seen         INTEGER NOT NULL,
  created_time      INTEGER NOT NULL,
  pending_since     INTEGER NOT NULL,
  decided_time      INTEGER,
  viewed_time       INTEGER, -- when a person first listed it
  rejection_reason  TEXT NOT NULL DEFAULT '',
  application_error TEXT NOT NULL DEFAULT '',
  dns_note          TEXT NOT NULL DEFAULT '',
  applied_key       TEXT, -- key of the rule that the approval added
  applied_rule      TEXT -- that rule as it was added, for an exact undo
) STRICT;
CREATE INDEX draft_chunks_by_sandbox ON draft_chunks (sandbox_id, status, created_time);

-- What a chunk is about. A (host, port, binary, stage) belongs to at most one open chunk.
CREATE TABLE draft_chunk_keys (
  chunk_id   TEXT NOT NULL REFERENCES draft_chunks (id) ON DELETE CASCADE,
  sandbox_id TEXT NOT NULL,
  host       TEXT NOT NULL,
  port       INTEGER NOT NULL,
  binary     TEXT NOT NULL,
  stage      TEXT NOT NULL,
  open       INTEGER NOT NULL,
  PRIMARY KEY (chunk_id, host, port, binary)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX draft_open_keys ON draft_chunk_keys (sandbox_id, host, port, binary, stage) WHERE open = 1;
CREATE INDEX draft_keys ON draft_chunk_keys (sandbox_id, host, port, binary);

CREATE TABLE draft_denials (
  sandbox_id     TEXT NOT NULL,
  host           TEXT NOT NULL,
  port           INTEGER NOT NULL,
  binary         TEXT NOT NULL,
  id             TEXT NOT NULL,
  deny_reason    TEXT NOT NULL,
  stages         TEXT NOT NULL, -- JSON list
  ancestors      TEXT NOT NULL, -- JSON list
  command_lines  TEXT NOT NULL, -- JSON list, sanitised by the sandbox and escaped here
  resolved_ips   TEXT NOT NULL, -- JSON list
  escaped        INTEGER NOT NULL,
  total_count    INTEGER NOT NULL,
  bursts         INTEGER NOT NULL,
  first_seen     INTEGER NOT NULL,
  last_seen      INTEGER NOT NULL,
  PRIMARY KEY (sandbox_id, host, port, binary)
) STRICT, WITHOUT ROWID;
CREATE INDEX draft_denials_by_age ON draft_denials (sandbox_id, last_seen);

CREATE TABLE draft_backoff (
  sandbox_id    TEXT NOT NULL,
  host          TEXT NOT NULL,
  port          INTEGER NOT NULL,
  rejections    INTEGER NOT NULL,
  refused_until INTEGER NOT NULL,
  reason        TEXT NOT NULL,
  PRIMARY KEY (sandbox_id, host, port)
) STRICT, WITHOUT ROWID;

CREATE TABLE draft_history (
  sequence       INTEGER PRIMARY KEY AUTOINCREMENT,
  sandbox_id     TEXT NOT NULL,
  chunk_id       TEXT NOT NULL,
  time           INTEGER NOT NULL,
  event_type     TEXT NOT NULL,
  actor          TEXT NOT NULL,
  old_status     TEXT NOT NULL,
  new_status     TEXT NOT NULL,
  version_before INTEGER NOT NULL,
  version_after  INTEGER NOT NULL,
  reason         TEXT NOT NULL,
  description    TEXT NOT NULL
) STRICT;
CREATE INDEX draft_history_by_sandbox ON draft_history (sandbox_id, sequence);
CREATE TRIGGER draft_history_is_append_only BEFORE UPDATE ON draft_history
BEGIN
  SELECT RAISE(ABORT, 'the history of drafts is append-only');
END;
