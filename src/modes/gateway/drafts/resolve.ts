import type { NetworkRule } from "../../../policy/model.ts";
import { classifyAddress, containsAddress, parseAddress, singleAddress } from "./address.ts";
import type { Denial } from "./chunk.ts";
import type { Resolver } from "./context.ts";
import { RESOLVE_TIMEOUT_MS } from "./limits.ts";

/** What the gateway's own look-up says about the hosts of a rule. */
export interface ResolutionVerdict {
  /** Set when the approval must be refused. */
  readonly refusal?: { readonly message: string; readonly next: string };
  /** Set when sandbox and gateway got different addresses. */
  readonly note: string;
  /** Names that have no address for the gateway now; the sandbox checks every address it dials. */
  readonly unresolved: readonly string[];
}

/** Answers by host name; a name that could not be looked up has an empty answer. */
export type Answers = ReadonlyMap<string, readonly string[]>;

/** Looks every host name of a rule up, once each and at the same time. Literals and patterns are not looked up. */
export async function resolveHosts(rule: NetworkRule, resolver: Resolver): Promise<Answers> {
  const names = [...new Set(rule.endpoints.map(({ host }) => host))].filter(
    (host) => host !== "" && !host.includes("*") && !parseAddress(host),
  );
  return new Map(await Promise.all(names.map(async (name) => [name, await lookUp(name, resolver)] as const)));
}

async function lookUp(name: string, resolver: Resolver): Promise<readonly string[]> {
  const { promise, resolve } = Promise.withResolvers<readonly string[]>();
  const timer = setTimeout(() => resolve([]), RESOLVE_TIMEOUT_MS);
  try {
    return await Promise.race([resolver(name), promise]);
  } catch {
    return []; // no address is an answer here: nothing becomes reachable by it
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Judges fresh answers: one private or reserved address without a permission refuses the approval, and says what to add.
 * The gateway's answers decide; what the sandbox saw only makes a note.
 */
export function judgeAnswers(
  rule: NetworkRule,
  answers: Answers,
  facts: {
    readonly trustedCidrs: readonly string[];
    readonly denials: readonly Denial[];
    readonly sandboxName: string;
    readonly chunkId: string;
  },
): ResolutionVerdict {
  const notes: string[] = [];
  const unresolved: string[] = [];
  for (const { host, allowedIps } of rule.endpoints) {
    const addresses = answers.get(host);
    if (!addresses) continue;
    if (addresses.length === 0) unresolved.push(host);
    for (const text of addresses) {
      const refusal = judge(host, text, allowedIps, facts);
      if (refusal) return { refusal, note: "", unresolved: [] };
    }
    const seen = facts.denials.filter((denial) => denial.host === host).flatMap((denial) => denial.resolvedIps);
    if (seen.length > 0 && addresses.length > 0 && !seen.some((address) => addresses.includes(address))) {
      notes.push(`${host} resolves to ${addresses.join(", ")} for the gateway and to ${seen.join(", ")} in the sandbox`);
    }
  }
  return { note: [...new Set(notes)].join("; "), unresolved: [...new Set(unresolved)] };
}

function judge(
  host: string,
  text: string,
  allowedIps: readonly string[],
  facts: { readonly trustedCidrs: readonly string[]; readonly sandboxName: string; readonly chunkId: string },
): { message: string; next: string } | undefined {
  const address = parseAddress(text);
  if (!address) return { message: `${host} resolves to '${text}', which is not an address`, next: "check the gateway's resolver" };
  const kind = classifyAddress(address);
  if (kind.class === "blocked") {
    return { message: `${host} resolves to ${text}, a ${kind.kind} address, which is never reachable`, next: "reject the proposal" };
  }
  const listed = allowedIps.some((entry) => containsAddress(entry, address));
  if (allowedIps.length > 0 && !listed) {
    return {
      message: `${host} resolves to ${text}, which is not in its allowed_ips (${allowedIps.join(", ")})`,
      next: `add "${singleAddress(address)}" to allowed_ips with \`openshell sandbox draft edit ${facts.sandboxName} ${facts.chunkId}\``,
    };
  }
  if (kind.class === "public" || listed || facts.trustedCidrs.some((entry) => containsAddress(entry, address))) return undefined;
  return {
    message: `${host} resolves to ${text}, a ${kind.kind} address`,
    next: `add allowed_ips: ["${singleAddress(address)}"] with \`openshell sandbox draft edit ${facts.sandboxName} ${facts.chunkId}\`, or create the sandbox with --trusted-cidr`,
  };
}
