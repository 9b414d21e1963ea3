import { classifyAddress, parseAddress } from "../../../address/address-class.ts";
import { CONTROL_PLANE_PORTS } from "../proxy/destination/permission.ts";
import { readHost } from "../proxy/http1/authority.ts";
import { type Entry, freshRequests } from "./aggregator.ts";
import { isControlPort, isForbiddenName } from "./known.ts";

/** What would make a name match more than itself. */
const PATTERN_CHARACTERS = /[*?[\]{}]/;
const PRINTABLE = /^[\x21-\x7e]+$/;
/** Refusals of addresses that no rule changes. */
const FINAL_CODES: ReadonlySet<string> = new Set(["always_blocked", "own_address", "unknown_name", "control_plane_port"]);

/** Why no rule may be proposed for a denial, by name; undefined when nothing speaks against it. The denial itself is reported all the same. */
export function whyNotProposed(entry: Entry, ownExecutables: readonly string[]): string | undefined {
  return whyNotBinary(entry.binary, ownExecutables) ?? whyNotDestination(entry);
}

function whyNotBinary(binary: string, ownExecutables: readonly string[]): string | undefined {
  if (!binary.startsWith("/")) return "the program has no absolute path";
  if (PATTERN_CHARACTERS.test(binary)) return "the program's path holds pattern characters, and a rule would match other programs";
  if (!PRINTABLE.test(binary)) return "the program's path holds characters that cannot be shown";
  if (binary.endsWith(" (deleted)")) return "the program's file is deleted";
  if (ownExecutables.includes(binary) || binary.endsWith("/openshell")) return "OpenShell's own executable is never in a rule";
  return undefined;
}

function whyNotDestination(entry: Entry): string | undefined {
  const { host, port, protocol, stage, code } = entry;
  if (protocol !== "tcp") return "only TCP can be allowed";
  if (PATTERN_CHARACTERS.test(host)) return "the host holds pattern characters, and a rule would match other hosts";
  if (readHost(host.includes(":") ? `[${host}]` : host) !== host) return "the host is not a canonical name or address";
  if (isForbiddenName(host)) return `${host} is a name of this machine, its cluster or a metadata service`;
  if (isControlPort(port) || CONTROL_PLANE_PORTS.has(port)) return `port ${port} controls a container engine or cluster`;
  if (parseAddress(host) !== undefined && classifyAddress(host) === "blocked") return `${host} is an address that is always blocked`;
  if (FINAL_CODES.has(code)) return `its address is blocked whatever the policy says (${code})`;
  if (stage === "l7_audit" && freshRequests(entry).length === 0) return "it was let through and logged";
  return undefined;
}
