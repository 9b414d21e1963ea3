import type ipaddr from "ipaddr.js";
import { parseAddress } from "./address-class.ts";

/** CIDRs and bare addresses, as in `allowed_ips` and `--trusted-cidr`. */
export class AddressSet {
  readonly #entries: readonly { readonly text: string; readonly network: ipaddr.IPv4 | ipaddr.IPv6; readonly bits: number }[];

  /** What cannot be read matches nothing: an unknown entry never permits. */
  constructor(list: readonly string[]) {
    this.#entries = list.flatMap((text) => {
      const entry = readEntry(text);
      return entry === undefined ? [] : [{ text, ...entry }];
    });
  }

  get empty(): boolean {
    return this.#entries.length === 0;
  }

  has(address: string): boolean {
    return this.containing(address) !== undefined;
  }

  /** The entry that contains the address, as it was written. */
  containing(address: string): string | undefined {
    const parsed = parseAddress(address);
    if (parsed === undefined) return undefined;
    return this.#entries.find(({ network, bits }) => network.kind() === parsed.kind() && parsed.match(network as never, bits))?.text;
  }
}

function readEntry(text: string): { network: ipaddr.IPv4 | ipaddr.IPv6; bits: number } | undefined {
  const slash = text.indexOf("/");
  const network = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (network === undefined) return undefined;
  const width = network.kind() === "ipv4" ? 32 : 128;
  if (slash < 0) return { network, bits: width };
  const suffix = text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(suffix)) return undefined;
  // A mapped network is written with IPv6 bits; as IPv4 it has 96 fewer.
  const written = Number(suffix);
  const bits = width === 32 && text.includes(":") ? written - 96 : written;
  return bits >= 0 && bits <= width ? { network, bits } : undefined;
}
