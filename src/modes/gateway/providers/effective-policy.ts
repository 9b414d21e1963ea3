import { create } from "@bufbuild/protobuf";
import { ambiguities } from "../../../policy/ambiguity.ts";
import { PROVIDER_RULE_PREFIX } from "../../../policy/limits.ts";
import type { Endpoint, NetworkRule, Policy } from "../../../policy/model.ts";
import { hostsMeet } from "../../../policy/patterns.ts";
import { policyFromProto } from "../../../policy/proto.ts";
import { SandboxPolicySchema } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { findProfile } from "./profiles/catalogue.ts";
import type { ProviderRecord } from "./repository.ts";

/**
 * The policy that is in force: what people wrote, and for each attached provider the endpoints and programs of its profile as a rule of
 * its own. Every endpoint to which a credential can go is marked, so that it is inspected and no proposal opens it wider.
 *
 * Where what a person wrote meets an endpoint of a profile and treats it otherwise, the person's endpoint stands and the profile's is left
 * out: one connection is treated in one way. `addRules: false` only marks: a policy for all sandboxes is not widened.
 */
export function effectivePolicy(
  policy: Policy,
  providers: readonly ProviderRecord[],
  { addRules }: { readonly addRules: boolean },
): Policy {
  if (providers.length === 0) return policy;
  const places = providers.flatMap((provider) => (hasCredentials(provider) ? profileEndpoints(provider) : []));
  const names = new Set(providers.map(({ name }) => name));
  const marked = mark(policy, (endpoint) => isCredentialed(endpoint, names, places));
  if (!addRules) return marked;
  let effective = marked;
  for (const provider of providers) {
    const rule = profileRule(provider);
    if (rule === undefined) continue;
    const key = freeKey(effective.networkPolicies, provider.name);
    const before = countAmbiguities(effective);
    const clear = rule.endpoints.filter(
      (endpoint) => countAmbiguities(withRule(effective, key, { ...rule, name: key, endpoints: [endpoint] })) === before,
    );
    if (clear.length > 0) effective = withRule(effective, key, { ...rule, name: key, endpoints: clear });
  }
  return effective;
}

/** What a policy says without anything that is derived: how it is stored. */
export function withoutDerived(policy: Policy): Policy {
  const own = Object.entries(policy.networkPolicies).filter(([key]) => !key.startsWith(PROVIDER_RULE_PREFIX));
  return mark({ ...policy, networkPolicies: Object.fromEntries(own) }, () => false);
}

/** `_provider_<name>` in the letters of a rule's key, with a number when it is taken. */
function freeKey(taken: Readonly<Record<string, unknown>>, name: string): string {
  const plain =
    name
      .toLowerCase()
      .replace(/[^a-z0-9_]/g, "_")
      .replace(/^_+|_+$/g, "") || "unnamed";
  for (let number = 1; ; number++) {
    const key = `${PROVIDER_RULE_PREFIX}${plain}${number === 1 ? "" : `_${number}`}`;
    if (!Object.hasOwn(taken, key)) return key;
  }
}

/** The rule of a provider's profile, if it has endpoints and programs. */
function profileRule(provider: ProviderRecord): NetworkRule | undefined {
  const profile = findProfile(provider.type);
  if (profile === undefined || profile.endpoints.length === 0 || profile.binaries.length === 0) return undefined;
  const message = create(SandboxPolicySchema, {
    version: 1,
    networkPolicies: { profile: { name: "profile", endpoints: profile.endpoints, binaries: profile.binaries } },
  });
  const rule = policyFromProto(message).networkPolicies["profile"];
  const credentialed = hasCredentials(provider);
  return (
    rule && {
      ...rule,
      endpoints: rule.endpoints.map((endpoint) => ({ ...endpoint, providerCredentialed: credentialed && endpoint.protocol !== "" })),
    }
  );
}

interface Place {
  readonly host: string;
  readonly ports: readonly number[];
}

/** Patterns of the hosts to which credentials of these providers may be sent by what is known of their kinds. */
export function credentialedHosts(providers: readonly ProviderRecord[]): string[] {
  return providers.flatMap((provider) => (hasCredentials(provider) ? profileEndpoints(provider).map(({ host }) => host) : []));
}

function hasCredentials({ credentials }: ProviderRecord): boolean {
  return Object.keys(credentials).length > 0;
}

function profileEndpoints({ type }: ProviderRecord): readonly Place[] {
  return (findProfile(type)?.endpoints ?? []).filter(({ protocol }) => protocol !== "");
}

function isCredentialed(endpoint: Endpoint, attached: ReadonlySet<string>, places: readonly Place[]): boolean {
  if (endpoint.credentialBinding !== undefined && attached.has(endpoint.credentialBinding.provider)) return true;
  if (endpoint.host === "") return false;
  return places.some(({ host, ports }) => endpoint.ports.some((port) => ports.includes(port)) && hostsMeet(endpoint.host, host));
}

function mark(policy: Policy, credentialed: (endpoint: Endpoint) => boolean): Policy {
  const rules = Object.entries(policy.networkPolicies).map(([key, rule]): [string, NetworkRule] => {
    const endpoints = rule.endpoints.map((endpoint) => {
      const providerCredentialed = credentialed(endpoint);
      return providerCredentialed === endpoint.providerCredentialed ? endpoint : { ...endpoint, providerCredentialed };
    });
    return [key, { ...rule, endpoints }];
  });
  return { ...policy, networkPolicies: Object.fromEntries(rules) };
}

function withRule(policy: Policy, key: string, rule: NetworkRule): Policy {
  return { ...policy, networkPolicies: { ...policy.networkPolicies, [key]: rule } };
}

function countAmbiguities(policy: Policy): number {
  return [...ambiguities(policy)].length;
}
