-- How long an approval holds, and for an approval of one request the id by which the sandbox says that it was made.
ALTER TABLE draft_chunks ADD COLUMN lifetime TEXT NOT NULL DEFAULT 'always' CHECK (lifetime IN ('always', 'session', 'once'));
ALTER TABLE draft_chunks ADD COLUMN grant_id TEXT NOT NULL DEFAULT '';
