-- Policies for all sandboxes. The newest is in force unless it was deleted; versions are never reused.

CREATE TABLE global_policies (
  version INTEGER PRIMARY KEY,
  hash TEXT NOT NULL,
  policy BLOB NOT NULL,      -- openshell.sandbox.v1.SandboxPolicy, canonical
  created_at INTEGER NOT NULL,
  deleted_at INTEGER,        -- when it was deleted or replaced
  provenance TEXT NOT NULL   -- JSON object
) STRICT;
