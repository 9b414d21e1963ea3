import { readFileSync, statSync } from "node:fs";
import { canonicalAddress } from "../../../../address/address-class.ts";

/** Larger files are not hosts files; reading one on the way to a decision would stall everybody. */
const MAX_HOSTS_BYTES = 1_048_576;

/** Names and addresses of one hosts file, read again when it changes. */
export class HostsFile {
  readonly #path: string;
  #version = "";
  #names = new Map<string, string[]>();

  constructor(path: string) {
    this.#path = path;
  }

  /** Every address that the file gives a name (lower case, no trailing dot), in its order; undefined when it has none. */
  lookup(name: string): readonly string[] | undefined {
    this.#refresh();
    return this.#names.get(name);
  }

  #refresh(): void {
    const stat = statSync(this.#path, { throwIfNoEntry: false });
    const version = stat === undefined ? "absent" : `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeMs}`;
    if (version === this.#version) return;
    this.#version = version;
    const usable = stat?.isFile() && stat.size <= MAX_HOSTS_BYTES;
    this.#names = usable ? parseHosts(readFileSync(this.#path, "utf8")) : new Map();
  }
}

/** hosts(5): an address, then names; `#` starts a comment; names compare without case. */
export function parseHosts(text: string): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const [first, ...rest] = line.replace(/#.*/, "").trim().split(/\s+/);
    const address = first === undefined ? undefined : canonicalAddress(first);
    if (address === undefined) continue;
    for (const name of rest) {
      const key = name.toLowerCase().replace(/\.$/, "");
      const addresses = names.get(key) ?? [];
      if (!addresses.includes(address)) addresses.push(address);
      names.set(key, addresses);
    }
  }
  return names;
}
