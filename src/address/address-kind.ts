import ipaddr from "ipaddr.js";
import { classifyAddress, innerAddresses, isMetadataAddress, parseAddress } from "./address-class.ts";

/** Words of ipaddr.js' ranges for people; whatever is not here is `reserved`. */
const WORDS: Readonly<Record<string, string>> = {
  unspecified: "unspecified",
  broadcast: "broadcast",
  multicast: "multicast",
  linkLocal: "link-local",
  loopback: "loopback",
  private: "private",
  uniqueLocal: "private",
  carrierGradeNat: "private",
};

/** What an address is, in a word or two: `loopback`, `cloud metadata`, `private`, `public`. An address inside another gives its name to the outer one. */
export function addressKind(text: string): string {
  if (isMetadataAddress(text)) return "cloud metadata";
  const address = parseAddress(text);
  if (address === undefined || classifyAddress(text) === "public") return "public";
  const inner =
    address instanceof ipaddr.IPv6 ? innerAddresses(address).find((one) => classifyAddress(one.toString()) !== "public") : undefined;
  if (inner !== undefined && WORDS[address.range()] === undefined) return addressKind(inner.toString());
  if (address instanceof ipaddr.IPv4 && address.octets[0] === 0) return "unspecified";
  return WORDS[address.range()] ?? "reserved";
}
