-- Sandboxes, policy revisions, settings, request ids. Times are milliseconds since the epoch, by the gateway's clock.

CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

CREATE TABLE sandboxes (
  id TEXT PRIMARY KEY,
  workspace TEXT NOT NULL,
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  resource_version INTEGER NOT NULL,
  labels TEXT NOT NULL,      -- JSON object
  annotations TEXT NOT NULL, -- JSON object
  spec BLOB NOT NULL,        -- openshell.v1.SandboxSpec
  status BLOB NOT NULL,      -- openshell.v1.SandboxStatus
  desired TEXT NOT NULL CHECK (desired IN ('running', 'stopped', 'deleted')),
  instance_id TEXT NOT NULL, -- the supervisor start that may speak for the sandbox
  uid INTEGER NOT NULL UNIQUE,
  UNIQUE (workspace, name)
) STRICT;

CREATE TABLE policy_revisions (
  sandbox_id TEXT NOT NULL REFERENCES sandboxes (id) ON DELETE CASCADE,
  version INTEGER NOT NULL,
  hash TEXT NOT NULL,
  policy BLOB NOT NULL,      -- openshell.sandbox.v1.SandboxPolicy, canonical
  status TEXT NOT NULL CHECK (status IN ('pending', 'loaded', 'failed', 'superseded')),
  load_error TEXT NOT NULL DEFAULT '',
  created_at INTEGER NOT NULL,
  loaded_at INTEGER,
  provenance TEXT NOT NULL,  -- JSON object
  PRIMARY KEY (sandbox_id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (
  scope TEXT NOT NULL,       -- '' for the gateway, else a sandbox id
  key TEXT NOT NULL,
  value TEXT NOT NULL,       -- JSON
  PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE request_ids (
  request_id TEXT PRIMARY KEY,
  method TEXT NOT NULL,
  caller TEXT NOT NULL,
  digest TEXT NOT NULL,      -- of the request
  response BLOB NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX request_ids_by_age ON request_ids (created_at);
