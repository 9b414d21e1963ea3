import type { Resolver } from "./resolver.ts";

/** The addresses of a denied name when they may be asked for; undefined: the name may not be asked. */
export type Probe = (host: string) => Promise<readonly string[] | undefined>;

/**
 * Resolves only what cannot be delegated to a stranger: address literals, names of the hosts file, and suffixes that the operator lists.
 * Every other name stays unasked, because asking is itself a way out.
 */
export function limitedProbe(resolver: Resolver, internalDomains: readonly string[]): Probe {
  const suffixes = internalDomains
    .map((suffix) =>
      suffix
        .toLowerCase()
        .replace(/^\*?\.+/, "")
        .replace(/\.$/, ""),
    )
    .filter((suffix) => suffix !== "");
  return async (host) => {
    const offline = resolver.offline(host);
    if (offline !== undefined) return offline;
    if (!suffixes.some((suffix) => host === suffix || host.endsWith(`.${suffix}`))) return undefined;
    try {
      return await resolver.resolve(host);
    } catch {
      return undefined;
    }
  };
}
