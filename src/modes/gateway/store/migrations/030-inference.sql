-- Inference routes: which model of which provider answers at inference.local. Times are milliseconds.

CREATE TABLE inference_routes (
  workspace TEXT NOT NULL,
  name TEXT NOT NULL,     -- inference.local or sandbox-system
  provider TEXT NOT NULL, -- name of a provider of the workspace
  model TEXT NOT NULL,
  timeout INTEGER NOT NULL,
  version INTEGER NOT NULL,
  PRIMARY KEY (workspace, name)
) STRICT;
