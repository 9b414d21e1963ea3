import { lookup } from "node:dns/promises";
import { isIP } from "node:net";

/** The gateway resolves names only when a person approves them (decision 12): absolutely, within 5 s. */
const RESOLVE_TIMEOUT_MS = 5000;

/** Addresses of a name by the machine's own resolver, without its search list; an address stands for itself. */
export async function resolveName(host: string): Promise<readonly string[]> {
  if (isIP(host) !== 0) return [host];
  const name = host.includes(".") && !host.endsWith(".") ? `${host}.` : host;
  const answer = lookup(name, { all: true, verbatim: true }).then((found) => found.map(({ address }) => address));
  const late = Bun.sleep(RESOLVE_TIMEOUT_MS).then((): never => {
    throw new Error(`${host} was not resolved within ${RESOLVE_TIMEOUT_MS / 1000} s`);
  });
  return await Promise.race([answer, late]);
}
