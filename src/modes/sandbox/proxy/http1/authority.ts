import { domainToASCII } from "node:url";

/** Where a request wants to go, in the one spelling that policy, resolver, log and upstream all see. */
export interface Authority {
  /** Lower case, A-labels, no trailing dot, no brackets. */
  readonly host: string;
  /** 1..65535 */
  readonly port: number;
}

/** Why an authority cannot be given one meaning. */
export interface BadAuthority {
  readonly problem: string;
}

/** A name on the wire: 253 characters, labels of 63 (RFC 1035 section 2.3.4). */
const MAX_HOST_CHARACTERS = 253;
const MAX_LABEL_CHARACTERS = 63;

const PLAIN_NAME = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/;
const DOTTED_QUAD = /^(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}$/;
/** What a URL parser would read as (part of) an IPv4 address: https://url.spec.whatwg.org/#ends-in-a-number-checker */
const NUMERIC_LABEL = /^(?:\d+|0x[0-9a-f]*)$/;
const PORT = /^[1-9]\d{0,4}$/;

/**
 * Reads `host:port` in its one canonical spelling, or says what is wrong. Spellings that two programs could read as different hosts
 * (userinfo, octal, hexadecimal, decimal or short IPv4, zone ids, control bytes, percent-encoding) are refused, never guessed.
 * @param text as sent; may hold UTF-8 names, which become A-labels
 * @param defaultPort used when no port is given; absent: a port is required
 */
export function readAuthority(text: string, defaultPort?: number): Authority | BadAuthority {
  if (text.includes("@")) return { problem: "user information in the authority" };
  const { hostText, portText } = splitPort(text);
  const port = portText === undefined ? defaultPort : readPort(portText);
  if (port === undefined) return { problem: portText === undefined ? "no port in the authority" : "port is not a number from 1 to 65535" };
  const host = readHost(hostText);
  return typeof host === "string" ? { host, port } : host;
}

function splitPort(text: string): { hostText: string; portText: string | undefined } {
  const bracket = text.startsWith("[") ? text.indexOf("]") + 1 : 0;
  const end = bracket > 0 ? bracket : text.indexOf(":");
  if (end < 0 || end === text.length) return { hostText: text, portText: undefined };
  if (text.charAt(end) !== ":") return { hostText: text, portText: "" };
  return { hostText: text.slice(0, end), portText: text.slice(end + 1) };
}

function readPort(text: string): number | undefined {
  if (!PORT.test(text)) return undefined;
  const port = Number(text);
  return port <= 65535 ? port : undefined;
}

/** One host in canonical spelling; also used for names that do not come from a request, such as a policy or a denied lookup. */
export function readHost(text: string): string | BadAuthority {
  if (text.startsWith("[")) return readIpv6(text);
  const lower = text.endsWith(".") ? text.slice(0, -1).toLowerCase() : text.toLowerCase();
  if (lower === "") return { problem: "empty host" };
  if (DOTTED_QUAD.test(lower)) return lower;
  if (!PLAIN_NAME.test(lower)) return readUnicodeName(lower);
  return checkName(lower, lower.includes("xn--"));
}

/** Names outside ASCII: IDNA as browsers do it. What turns into an address by that (full-width digits) is refused. */
function readUnicodeName(lower: string): string | BadAuthority {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control bytes are what is looked for
  if (/[\x00-\x20\x7f]/.test(lower)) return { problem: "control character or blank in the host" };
  // biome-ignore lint/suspicious/noControlCharactersInRegex: everything outside ASCII
  if (!/[^\x00-\x7f]/.test(lower)) return { problem: "character in the host that no name has" };
  if (/[^a-z0-9_.\-\u0080-\uffff]/.test(lower)) return { problem: "character in the host that no name has" };
  const ascii = domainToASCII(lower);
  if (!PLAIN_NAME.test(ascii)) return { problem: "host is not a valid internationalised name" };
  return checkName(ascii, false);
}

function checkName(name: string, verifyLabels: boolean): string | BadAuthority {
  if (name.length > MAX_HOST_CHARACTERS)
    return { problem: `host has ${name.length} characters, at most ${MAX_HOST_CHARACTERS} are allowed` };
  const labels = name.split(".");
  const last = labels.at(-1) ?? "";
  if (NUMERIC_LABEL.test(last)) return { problem: "IPv4 address not in dotted decimal form" };
  for (const label of labels) {
    if (label.length > MAX_LABEL_CHARACTERS)
      return { problem: `label of ${label.length} characters, at most ${MAX_LABEL_CHARACTERS} are allowed` };
  }
  // A punycode label must be one that IDNA itself would produce, or two spellings would name one host.
  if (verifyLabels && domainToASCII(name) !== name) return { problem: "host is not a valid internationalised name" };
  return name;
}

function readIpv6(text: string): string | BadAuthority {
  const inner = text.slice(1, -1);
  if (!text.endsWith("]")) return { problem: "bracket without its end" };
  if (inner.includes("%")) return { problem: "zone id in the address" };
  if (!/^[0-9a-fA-F:.]+$/.test(inner)) return { problem: "not an IPv6 address in the brackets" };
  try {
    return new URL(`http://[${inner}]/`).hostname.slice(1, -1);
  } catch {
    return { problem: "not an IPv6 address in the brackets" };
  }
}
