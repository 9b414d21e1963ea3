import { AddressSet } from "../address/address-set.ts";
import { OpenShellError } from "../error.ts";

interface Entry {
  /** A domain without dot before it, or undefined for a network. */
  readonly domain?: string;
  readonly network?: AddressSet;
  readonly port?: number;
}

const NAME = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/;
const PORT = /^(.*):([1-9]\d{0,4})$/;

/**
 * Destinations that are dialled directly although there is an upstream proxy. `example.com`, `.example.com` and `*.example.com` are the
 * domain and everything below it; an address or a CIDR is compared with literal addresses alone, because no name is resolved to find out
 * whether the proxy is to resolve it. `:PORT` behind an entry limits it.
 */
export class NoProxyList {
  readonly #entries: readonly Entry[];

  /** @throws OpenShellError `invalid_argument` for an entry that would silently match nothing, or everything. */
  constructor(entries: readonly string[]) {
    this.#entries = entries.map(readEntry);
  }

  /** @param host canonical: lower case, no trailing dot, no brackets */
  has(host: string, port: number): boolean {
    return this.#entries.some((entry) => (entry.port === undefined || entry.port === port) && covers(entry, host));
  }
}

function covers({ domain, network }: Entry, host: string): boolean {
  if (network !== undefined) return network.has(host);
  return domain !== undefined && (host === domain || host.endsWith(`.${domain}`));
}

function readEntry(text: string): Entry {
  const lower = text.trim().toLowerCase();
  const whole = network(lower.replace(/^\[(.*)\]$/, "$1"));
  if (whole !== undefined) return { network: whole };
  const [, host = lower, portText] = PORT.exec(lower) ?? [];
  const port = portText === undefined ? {} : { port: Number(portText) };
  const bare = network(host.replace(/^\[(.*)\]$/, "$1"));
  if (bare !== undefined) return { network: bare, ...port };
  const domain = host.replace(/^(?:\*?\.)/, "").replace(/\.$/, "");
  if (!NAME.test(domain) || /(?:^|\.)\d+$/.test(domain) || (port.port ?? 1) > 65_535)
    throw new OpenShellError("invalid_argument", `--upstream-no-proxy '${text}' is no domain, address or CIDR`, {
      next: "example: --upstream-no-proxy corp.example,10.0.0.0/8; to use no proxy at all leave --upstream-proxy out",
    });
  return { domain, ...port };
}

function network(text: string): AddressSet | undefined {
  const set = new AddressSet([text]);
  return set.empty ? undefined : set;
}
