-- Requests of a denied program as the sandbox reported them, without queries and secrets: a proposal may allow no more than these explain.
ALTER TABLE draft_denials ADD COLUMN requests TEXT NOT NULL DEFAULT '[]'; -- JSON list of {method, path, decision, count}
