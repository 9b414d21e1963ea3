import type { Policy } from "../policy/model.ts";

/** What the rules see of a policy, under `data.policies`. Matching semantics are theirs; nothing here reads a pattern. */
export interface EngineData {
  readonly policies: Readonly<Record<string, EngineRule>>;
}

interface EngineRule {
  readonly endpoints: readonly { readonly host: string; readonly ports: readonly number[] }[];
  readonly binaries: readonly { readonly path: string; readonly self_only: boolean }[];
}

/** The part of a policy that decides connections. */
export function engineData(policy: Policy): EngineData {
  return {
    policies: Object.fromEntries(
      Object.entries(policy.networkPolicies).map(([key, rule]) => [
        key,
        {
          endpoints: rule.endpoints.map(({ host, ports }) => ({ host, ports })),
          binaries: rule.binaries.map(({ path, selfOnly }) => ({ path, self_only: selfOnly })),
        },
      ]),
    ),
  };
}
