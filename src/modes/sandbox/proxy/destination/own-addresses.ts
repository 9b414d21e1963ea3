import { networkInterfaces } from "node:os";
import { canonicalAddress } from "../../../../address/address-class.ts";

/** How long a list of addresses is used; listing takes about 50 µs, and a new interface is rare. */
const KEPT_MS = 1000;

/** Addresses of the machine the supervisor runs on: reaching one would go round every boundary of the box. */
export type OwnAddresses = () => ReadonlySet<string>;

/** Every address of our network namespace, and `extra` (the gateway's). Reads the list again each second. */
export function hostAddresses(extra: readonly string[] = []): OwnAddresses {
  let kept: ReadonlySet<string> = new Set();
  let readAt = Number.NEGATIVE_INFINITY;
  return () => {
    const now = performance.now();
    if (now - readAt < KEPT_MS) return kept;
    readAt = now;
    const listed = Object.values(networkInterfaces()).flatMap((entries) => (entries ?? []).map((entry) => entry.address));
    kept = new Set([...listed, ...extra].flatMap((text) => canonicalAddress(text) ?? []));
    return kept;
  };
}
