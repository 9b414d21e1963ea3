import { domainToUnicode } from "node:url";
import { getDomain } from "tldts";
import { parseAddress } from "./address.ts";
import { isUnder, lookAlikeTargets } from "./known.ts";
import { MAX_HOST_LENGTH } from "./limits.ts";

/** Names of one or more labels, each as RFC 1123 allows plus the underscore that services use; already lower case. */
const namePattern = /^(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*$/;

/** Whether a host is a name or an address literal in the one spelling that every parser reads the same way. */
export function isPlainHost(host: string): boolean {
  if (host.length === 0 || host.length > MAX_HOST_LENGTH) return false;
  if (parseAddress(host)) return true;
  const last = host.slice(host.lastIndexOf(".") + 1);
  // A last label of digits, or 0x…, makes resolvers read the whole as an IPv4 address in another base.
  return namePattern.test(host) && !/^(\d+|0x[0-9a-f]*)$/.test(last);
}

/** The domain that somebody registered (`github.com` of `api.github.com`); the host itself where there is none. */
export function registrableDomain(host: string): string {
  if (parseAddress(host)) return host;
  return getDomain(host, { allowPrivateDomains: true, validateHostname: false }) ?? host;
}

/** Why a host might be taken for another one, as a sentence; undefined when nothing stands out. */
export function lookAlike(host: string): string | undefined {
  if (parseAddress(host)) return undefined;
  const domain = registrableDomain(host);
  if (host.split(".").some((label) => label.startsWith("xn--"))) {
    const scripts = scriptsOf(domainToUnicode(host));
    const mixed = scripts.length > 1 ? `, mixing ${scripts.join(" and ")} letters` : "";
    return `the name is internationalised (${host})${mixed}: letters may look like others`;
  }
  const shape = skeleton(domain);
  for (const target of lookAlikeTargets) {
    if (domain === target || isUnder(host, target)) continue;
    if (shape === skeleton(target)) return `${domain} looks like ${target} and is not`;
    if (`.${host}.`.includes(`.${target}.`)) return `${target} is only a part of the name: the domain is ${domain}`;
  }
  return undefined;
}

/** Writing systems of the letters of a name. */
function scriptsOf(text: string): string[] {
  const scripts = [
    "Latin",
    "Cyrillic",
    "Greek",
    "Armenian",
    "Hebrew",
    "Arabic",
    "Han",
    "Hiragana",
    "Katakana",
    "Hangul",
    "Thai",
    "Cherokee",
  ];
  return scripts.filter((script) => new RegExp(`\\p{Script=${script}}`, "u").test(text));
}

/** A name with the usual substitutions undone, so that look-alikes become equal. */
function skeleton(domain: string): string {
  return domain
    .replace(/rn/g, "m")
    .replace(/vv/g, "w")
    .replace(/cl/g, "d")
    .replace(/[0]/g, "o")
    .replace(/[1i|]/g, "l")
    .replace(/3/g, "e")
    .replace(/5/g, "s")
    .replace(/[-_]/g, "");
}
