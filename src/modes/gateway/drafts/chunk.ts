import type { NetworkRule } from "../../../policy/model.ts";
import type { ChunkStatus } from "./state.ts";

/** How long an approval holds: until it is taken back, until the sandbox stops, or for one request. */
export type Lifetime = "always" | "session" | "once";

export type ChunkStage = "initial" | "refined";

/** Who worked a proposal out: fixed rules, a model, or the agent that wants it. */
export type AnalysisMode = "mechanistic" | "model" | "agent_authored";

/** What a chunk is about; with the stage it identifies the open chunk that new hits belong to. */
export interface DenialKey {
  readonly host: string;
  readonly port: number;
  readonly binary: string;
}

/** A proposal as the gateway stores it. Times are milliseconds since the epoch on the gateway's clock. */
export interface Chunk {
  readonly id: string;
  readonly sandboxId: string;
  readonly status: ChunkStatus;
  readonly stage: ChunkStage;
  readonly analysisMode: AnalysisMode;
  readonly modelId: string;
  readonly ruleName: string;
  readonly rule: NetworkRule;
  readonly binary: string;
  readonly rationale: string;
  /** Its text held bytes outside printable ASCII. */
  readonly escaped: boolean;
  /** What the analyst said; the gateway decides what is shown. */
  readonly offeredConfidence: number;
  /** A person replaced the proposed rule; only then may it hold patterns. */
  readonly edited: boolean;
  /** Id of the approved chunk that this one refines; empty otherwise. */
  readonly supersedes: string;
  readonly hitCount: number;
  readonly firstSeen: number;
  readonly lastSeen: number;
  readonly createdTime: number;
  /** When it last became pending; it expires from here or from its last hit. */
  readonly pendingSince: number;
  readonly decidedTime: number | undefined;
  /** When a person first listed it. */
  readonly viewedTime: number | undefined;
  readonly rejectionReason: string;
  readonly applicationError: string;
  readonly dnsNote: string;
  /** Of the last approval. */
  readonly lifetime: Lifetime;
  /** Names an approval for one request while it is unused; empty otherwise. */
  readonly grantId: string;
  /** The rule that the approval added and its key, for an exact undo. */
  readonly applied: { readonly key: string; readonly rule: NetworkRule } | undefined;
}

/** A denial that the gateway holds; what proposals are about and what people are shown as the reason. */
export interface Denial extends DenialKey {
  readonly id: string;
  readonly reason: string;
  readonly stages: readonly string[];
  readonly ancestors: readonly string[];
  readonly commandLines: readonly string[];
  readonly resolvedIps: readonly string[];
  readonly escaped: boolean;
  /** What was asked for inside connections that the policy allows. */
  readonly requests: readonly RequestSample[];
  readonly totalCount: number;
  /** Bursts more than a cool-down apart. */
  readonly bursts: number;
  readonly firstSeen: number;
  readonly lastSeen: number;
}

/** Requests alike, as the sandbox saw them: without query, secrets masked. */
export interface RequestSample {
  readonly method: string;
  readonly path: string;
  readonly decision: string;
  readonly count: number;
}

/** A security note: a code for programs and a sentence for people. Any note keeps a chunk out of `approve --all`. */
export interface Flag {
  readonly code: string;
  readonly sentence: string;
}

/** Every (host, port, binary) of a rule. */
export function keysOf(rule: NetworkRule): DenialKey[] {
  return rule.binaries.flatMap(({ path: binary }) =>
    rule.endpoints.flatMap(({ host, ports }) => ports.map((port) => ({ host, port, binary }))),
  );
}
