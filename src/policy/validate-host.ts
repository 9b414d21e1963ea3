import ipaddr from "ipaddr.js";
import { MAX_HOST_LENGTH, MAX_LABEL_LENGTH } from "./limits.ts";

/** Labels of a wildcard host that must be literal at its end, so that no pattern covers a whole top-level domain. */
const LITERAL_TAIL = 2;

/** What is wrong with a host of an endpoint, in canonical spelling; undefined when nothing is. */
export function hostProblem(host: string): string | undefined {
  if (host.length > MAX_HOST_LENGTH) return `is ${host.length} characters, at most ${MAX_HOST_LENGTH} are accepted`;
  if (host.trim() !== host || /\s/.test(host)) return "has white space";
  if (isAddress(host)) return undefined;
  if (host.includes(":")) return "is neither a name nor an address (the port has its own field; an IPv6 zone is not accepted)";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is exactly this range
  if (!/^[\x00-\x7f]*$/.test(host)) return "is not ASCII: write the name as it goes over the wire (xn--…)";
  if (host.endsWith(".")) return "ends with a dot: write the name without it";
  const labels = host.split(".");
  if (labels.some((label) => label === "")) return "has an empty label";
  if (labels.some((label) => label.length > MAX_LABEL_LENGTH)) return `has a label of more than ${MAX_LABEL_LENGTH} characters`;
  if (!/^[a-z0-9_*.-]+$/.test(host)) return "has characters that no host name has";
  // The forms 127.1, 0x7f000001 and 2130706433 are addresses to some programs and names to others.
  if (/^(0x[0-9a-f]*|[0-9]+)$/.test(labels.at(-1) ?? ""))
    return "looks like a number: write an IPv4 address as four decimal numbers without leading zeros";
  return host.includes("*") ? wildcardProblem(host, labels) : undefined;
}

function wildcardProblem(host: string, labels: readonly string[]): string | undefined {
  if (host === "*" || host === "**") return "matches every host";
  if (labels.length <= LITERAL_TAIL || labels.slice(-LITERAL_TAIL).some((label) => label.includes("*"))) {
    return "covers a whole top-level domain: the last two labels must be literal";
  }
  const [first = "", ...others] = labels;
  if (others.some((label) => label.includes("*") && label !== "*")) return "may have * after the first label only as a whole label";
  if (first.includes("**") && first !== "**") return "may have ** only as the whole first label";
  if (first !== "**" && first.split("*").length > 2) return "has more than one * in a label";
  return undefined;
}

/** An IPv4 address as four plain decimal numbers, or an IPv6 address in canonical form. */
export function isAddress(host: string): boolean {
  if (/^(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})$/.test(host)) return host.split(".").every((part) => Number(part) <= 255);
  return host.includes(":") && !host.includes("%") && ipaddr.IPv6.isValid(host);
}
