import ipaddr from "ipaddr.js";

/**
 * An absolute path without doubled and trailing slashes and without `.` segments. Purely lexical: symbolic links are not followed, and `..`
 * stays, for the validation to refuse. A path of slashes alone is `/`.
 */
export function normalisePath(path: string): string {
  if (!path.startsWith("/")) return path;
  return `/${path
    .split("/")
    .filter((segment) => segment !== "" && segment !== ".")
    .join("/")}`;
}

/**
 * One spelling for a host: lower case, an IPv6 address in its canonical form without brackets (RFC 5952). Everything that compares hosts uses this
 * form. Strings that are no host come back in lower case, for the validation to refuse.
 */
export function canonicalHost(host: string): string {
  const bare = host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
  if (bare.includes(":") && !bare.includes("%") && ipaddr.IPv6.isValid(bare)) return ipaddr.IPv6.parse(bare).toRFC5952String();
  return host.toLowerCase();
}

/** Each value once, in the order of first appearance. */
export function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
