-- Providers: accounts at services whose secrets sandboxes may use. Times are milliseconds since the epoch, by the gateway's clock.

CREATE TABLE providers (
  id TEXT PRIMARY KEY,
  workspace TEXT NOT NULL,
  name TEXT NOT NULL,
  type TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  resource_version INTEGER NOT NULL,
  labels TEXT NOT NULL,      -- JSON object
  annotations TEXT NOT NULL, -- JSON object
  config TEXT NOT NULL,      -- JSON object, nothing secret
  credentials BLOB NOT NULL, -- JSON object of names and secrets, sealed with the key file
  expirations TEXT NOT NULL, -- JSON object of names and times
  UNIQUE (workspace, name)
) STRICT;
