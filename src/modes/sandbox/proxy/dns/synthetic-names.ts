import { AddressSet } from "../../../../address/address-set.ts";

/** Names of one sandbox's life; no program that means well asks for more, and each keeps its address for ever (threat 28). */
export const MAX_NAMES = 16_384;

/** Addresses that stand for names: benchmarking networks, which nobody routes (RFC 2544, RFC 5180). */
export const SYNTHETIC_NETWORKS = ["198.18.0.0/15", "2001:2::/48"] as const;
const networks = new AddressSet(SYNTHETIC_NETWORKS);
/** 198.18.0.0 */
const FIRST_IPV4 = 0xc6120000;

/** True for an address that can stand for nothing but a name. */
export function isSynthetic(address: string): boolean {
  return networks.has(address);
}

/** Both addresses of one name. */
export interface SyntheticAddresses {
  readonly ipv4: string;
  readonly ipv6: string;
}

/**
 * Gives names addresses and finds names by them. An address is never given to a second name, so that whatever a program remembers of an
 * answer means what it meant. Names are canonical: lower case, no trailing dot.
 */
export class SyntheticNames {
  readonly #numbers = new Map<string, number>();
  readonly #names: string[] = [];
  readonly #limit: number;

  /** `reserved`: names that have their address from the beginning, however many others come. */
  constructor(reserved: readonly string[] = [], limit: number = MAX_NAMES) {
    this.#limit = limit;
    for (const name of reserved) this.#number(name);
  }

  get size(): number {
    return this.#names.length;
  }

  /** The addresses of a name, new ones when it has none yet; undefined when no more names can have any. */
  addressesOf(name: string): SyntheticAddresses | undefined {
    const number = this.#number(name);
    return number === undefined ? undefined : { ipv4: ipv4Of(number), ipv6: ipv6Of(number) };
  }

  /** The name that a canonical address stands for. */
  nameOf(address: string): string | undefined {
    const number = numberOf(address);
    return number === undefined ? undefined : this.#names[number - 1];
  }

  #number(name: string): number | undefined {
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    if (this.#names.length >= this.#limit) return undefined;
    const number = this.#names.push(name);
    this.#numbers.set(name, number);
    return number;
  }
}

/** 198.18.0.1, 198.18.0.2, … */
function ipv4Of(number: number): string {
  const word = FIRST_IPV4 + number;
  return [24, 16, 8, 0].map((shift) => (word >>> shift) & 0xff).join(".");
}

/** 2001:2::1, 2001:2::2, … */
function ipv6Of(number: number): string {
  return `2001:2::${number.toString(16)}`;
}

function numberOf(address: string): number | undefined {
  const ipv6 = /^2001:2::([0-9a-f]{1,4})$/.exec(address);
  if (ipv6?.[1] !== undefined) return Number.parseInt(ipv6[1], 16);
  const parts = address.split(".").map(Number);
  if (parts.length !== 4) return undefined;
  const [a, b, c, d] = parts as [number, number, number, number];
  const number = ((a << 24) | (b << 16) | (c << 8) | d) - (FIRST_IPV4 | 0);
  return number > 0 && number <= MAX_NAMES ? number : undefined;
}
