import core from "./migrations/001-core.sql" with { type: "text" };
import globalPolicies from "./migrations/002-global-policies.sql" with { type: "text" };
import drafts from "./migrations/010-drafts.sql" with { type: "text" };
import draftLifetimes from "./migrations/011-draft-lifetimes.sql" with { type: "text" };
import draftRequests from "./migrations/012-draft-requests.sql" with { type: "text" };
import providers from "./migrations/020-providers.sql" with { type: "text" };
import inference from "./migrations/030-inference.sql" with { type: "text" };

/** One step of the schema. Numbers are never reused; a step, once released, never changes. */
export interface Migration {
  readonly number: number;
  readonly sql: string;
}

/** Every step in order; parts of the gateway add theirs here with numbers of their own (010–019 drafts, 020–029 providers, 030–039 inference). */
export const migrations: readonly Migration[] = [
  { number: 1, sql: core },
  { number: 2, sql: globalPolicies },
  { number: 10, sql: drafts },
  { number: 11, sql: draftLifetimes },
  { number: 12, sql: draftRequests },
  { number: 20, sql: providers },
  { number: 30, sql: inference },
];
