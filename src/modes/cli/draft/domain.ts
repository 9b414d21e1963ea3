import { getDomain } from "tldts";
import { printable } from "../../../command/printable.ts";

/**
 * Who owns a host name: the registrable domain by the public suffix list, private suffixes included (so that `evil.github.io` is not shown as
 * `github.io`). Never cut; a name without one (an address, a single label) is its own.
 */
export function registrableDomain(host: string): string {
  const domain = getDomain(host.replace(/^(\*+\.)+/, ""), { allowPrivateDomains: true, validateHostname: false });
  return printable(domain ?? host);
}
