import type { Endpoint } from "../policy/model.ts";

/** Who asks for what: the input of one connection decision. Paths are compared as exact strings. */
export interface ConnectionQuery {
  /** Lower-case, no trailing dot, no brackets. */
  readonly host: string;
  readonly port: number;
  /** The image that called connect(2). */
  readonly exe: string;
  /** Executables of the parent processes, nearest first. */
  readonly ancestors: readonly string[];
}

/** Machine code of a refusal. */
export type DenyCode = "malformed" | "no_policies" | "host_not_allowed" | "port_not_allowed" | "binary_not_allowed" | "engine_failure";

export type Decision =
  | {
      readonly allowed: true;
      /** Lexicographically smallest matching rule key. */
      readonly policy: string;
      /** Every matching endpoint, ordered by rule key and index. */
      readonly endpoints: readonly MatchedEndpoint[];
      readonly generation: number;
    }
  | {
      readonly allowed: false;
      readonly code: DenyCode;
      /** For people: `binary '/usr/bin/python3' not allowed in policy 'github'`. */
      readonly reason: string;
      readonly generation: number;
    };

export interface MatchedEndpoint {
  /** `<rule key>/<index>` */
  readonly id: string;
  readonly endpoint: Endpoint;
}

/** Decides connections with the last good policy. Never throws: any failure is a refusal. */
export interface DecisionEngine {
  /** Counts successful loads; 0 before the first, when everything is refused. */
  readonly generation: number;
  decide(query: ConnectionQuery): Decision;
}
