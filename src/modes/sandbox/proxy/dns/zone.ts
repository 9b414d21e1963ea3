import { canonicalAddress, parseAddress } from "../../../../address/address-class.ts";
import { readHost } from "../http1/authority.ts";
import { type Answer, CLASS, nameData, type Query, RCODE, TYPE } from "./message.ts";
import type { SyntheticNames } from "./synthetic-names.ts";

export interface ZoneOptions {
  readonly names: SyntheticNames;
  /** The sandbox's own name and addresses. */
  readonly host: { readonly name: string; readonly ipv4: string; readonly ipv6: string };
  /** False where the box has no IPv6: then no name has such an address. */
  readonly ipv6: boolean;
  /** Called each time a name could not be given an address. */
  readonly onExhausted: () => void;
}

/** Names that have no address by their own definition: RFC 6761 section 6.4, RFC 7686, and the name by which browsers ask whether to resolve past us. */
const NEVER = /(?:^|\.)(?:invalid|onion)$|^use-application-dns\.net$/;
const LOCALHOST = /(?:^|\.)localhost$/;
const PLAIN_LABEL = /^[A-Za-z0-9_-]+$/;
const REVERSE_IPV4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/;
const REVERSE_IPV6 = /^(?:[0-9a-f]\.){32}ip6\.arpa$/;

const EMPTY: Answer = { rcode: RCODE.noError, records: [] };
const NO_SUCH_NAME: Answer = { rcode: RCODE.nameError, records: [] };
const REFUSED: Answer = { rcode: RCODE.refused, records: [] };
const FAILED: Answer = { rcode: RCODE.serverFailure, records: [] };
const BAD_VERSION: Answer = { rcode: RCODE.badVersion, records: [] };

/**
 * What every question is told (decision 13): each name that a host can have exists and has a synthetic address, nothing is asked of
 * anybody, and whether it may be reached is decided when it is connected to.
 */
export class Zone {
  readonly #options: ZoneOptions;

  constructor(options: ZoneOptions) {
    this.#options = { ...options, host: { ...options.host, name: options.host.name.toLowerCase() } };
  }

  answer(query: Query): Answer {
    if (query.ednsVersion !== undefined && query.ednsVersion !== 0) return BAD_VERSION;
    if (query.class !== CLASS.in && query.class !== CLASS.any) return REFUSED;
    if (query.labels.length === 0) return EMPTY;
    const name = hostName(query.labels);
    if (name === undefined || NEVER.test(name)) return NO_SUCH_NAME;
    if (name === "arpa" || name.endsWith(".arpa")) return this.#reverse(name, query.type);
    if (query.type !== TYPE.a && query.type !== TYPE.aaaa) return EMPTY;
    return this.#address(name, query.type);
  }

  #address(name: string, type: number): Answer {
    const { host, names } = this.#options;
    if (LOCALHOST.test(name)) return this.#records(type, { ipv4: "127.0.0.1", ipv6: "::1" });
    if (name === host.name) return this.#records(type, host);
    const addresses = names.addressesOf(name);
    if (addresses !== undefined) return this.#records(type, addresses);
    this.#options.onExhausted();
    return FAILED;
  }

  #records(type: number, { ipv4, ipv6 }: { readonly ipv4: string; readonly ipv6: string }): Answer {
    if (type === TYPE.aaaa && !this.#options.ipv6) return EMPTY;
    const bytes = parseAddress(type === TYPE.a ? ipv4 : ipv6)?.toByteArray() ?? [];
    return { rcode: RCODE.noError, records: [Uint8Array.from(bytes)] };
  }

  #reverse(name: string, type: number): Answer {
    const address = reversed(name);
    const found = address === undefined ? undefined : this.#nameOf(address);
    if (found === undefined) return NO_SUCH_NAME;
    return type === TYPE.ptr ? { rcode: RCODE.noError, records: [nameData(found)] } : EMPTY;
  }

  #nameOf(address: string): string | undefined {
    const { host, names } = this.#options;
    if (address === "127.0.0.1" || address === "::1") return "localhost";
    return address === host.ipv4 || address === host.ipv6 ? host.name : names.nameOf(address);
  }
}

/** The one spelling of a name that a host can have, as everywhere else here; undefined for any other, and for what reads as an address. */
function hostName(labels: readonly Buffer[]): string | undefined {
  const texts = labels.map((label) => label.toString("latin1"));
  if (!texts.every((text) => PLAIN_LABEL.test(text))) return undefined;
  const host = readHost(texts.join("."));
  return typeof host === "string" && canonicalAddress(host) === undefined ? host : undefined;
}

/** The address that a name of a reverse zone is about. */
function reversed(name: string): string | undefined {
  const ipv4 = REVERSE_IPV4.exec(name);
  if (ipv4 !== null) return canonicalAddress(ipv4.slice(1).reverse().join("."));
  if (!REVERSE_IPV6.test(name)) return undefined;
  const digits = name.slice(0, 63).split(".").reverse().join("");
  return canonicalAddress((digits.match(/.{4}/g) ?? []).join(":"));
}
