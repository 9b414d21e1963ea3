import { lookup } from "node:dns/promises";
import { canonicalAddress } from "../../../../address/address-class.ts";
import { OpenShellError } from "../../../../error.ts";
import { HostsFile } from "./hosts-file.ts";

/** One resolution; what resolv.conf itself waits for one server. */
export const RESOLVE_TIMEOUT_MS = 5000;
/** How long an answer is kept. The system resolver tells no TTL, so this stays below the shortest ones in use (30 s). */
export const CACHE_MS = 10_000;
/** Names kept; an agent uses tens. */
const MAX_CACHED_NAMES = 1024;

/** Asks the system for every address of a name; injectable for tests. */
export type SystemLookup = (name: string) => Promise<readonly string[]>;

const systemLookup: SystemLookup = async (name) => (await lookup(name, { all: true })).map((entry) => entry.address);

export interface ResolverOptions {
  /** Names that are answered before the system resolver is asked. */
  readonly hostsFile: string;
  readonly system?: SystemLookup;
  /** Milliseconds; only differences count. */
  readonly now?: () => number;
}

/**
 * Turns names into addresses, only for names that policy has allowed: the question itself leaves the machine. Hosts file first, then the
 * system resolver with an absolute name, so that no search list applies (single labels excepted, they live from it).
 */
export class Resolver {
  readonly #hosts: HostsFile;
  readonly #system: SystemLookup;
  readonly #now: () => number;
  readonly #cache = new Map<string, { readonly addresses: readonly string[]; readonly until: number }>();
  readonly #running = new Map<string, Promise<readonly string[]>>();

  constructor(options: ResolverOptions) {
    this.#hosts = new HostsFile(options.hostsFile);
    this.#system = options.system ?? systemLookup;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Addresses that no server is needed for: a literal, or the hosts file. */
  offline(host: string): readonly string[] | undefined {
    const literal = canonicalAddress(host);
    return literal === undefined ? this.#hosts.lookup(host) : [literal];
  }

  /** Addresses without a query: literal, hosts file, or a kept answer. */
  known(host: string): readonly string[] | undefined {
    const offline = this.offline(host);
    if (offline !== undefined) return offline;
    const kept = this.#cache.get(host);
    return kept !== undefined && kept.until > this.#now() ? kept.addresses : undefined;
  }

  /**
   * Every address of `host` (lower case, no trailing dot), in the order of the resolver, each once.
   * @throws OpenShellError `unavailable` when there is none; the same question is asked once however many wait for it.
   */
  resolve(host: string): Promise<readonly string[]> {
    const running = this.#running.get(host);
    if (running !== undefined) return running;
    const asked = this.#ask(host).finally(() => this.#running.delete(host));
    this.#running.set(host, asked);
    return asked;
  }

  async #ask(host: string): Promise<readonly string[]> {
    const answer = await withTimeout(this.#system(host.includes(".") ? `${host}.` : host), host);
    const addresses = [...new Set(answer.flatMap((text) => canonicalAddress(text) ?? []))];
    if (addresses.length === 0) throw new OpenShellError("unavailable", `${host} has no address`);
    if (this.#cache.size >= MAX_CACHED_NAMES) this.#cache.clear();
    this.#cache.set(host, { addresses, until: this.#now() + CACHE_MS });
    return addresses;
  }
}

async function withTimeout(answer: Promise<readonly string[]>, host: string): Promise<readonly string[]> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expiry = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new OpenShellError("unavailable", `no answer for ${host} within ${RESOLVE_TIMEOUT_MS} ms`)),
      RESOLVE_TIMEOUT_MS,
    );
  });
  try {
    return await Promise.race([answer, expiry]);
  } catch (error) {
    if (error instanceof OpenShellError) throw error;
    throw new OpenShellError("unavailable", problemOf(error), { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

/** Error codes of getaddrinfo(3) as Node names them. */
const PROBLEMS: Readonly<Record<string, string>> = {
  ENOTFOUND: "no such name, or it has no address",
  EAI_AGAIN: "the name server does not answer",
  ETIMEOUT: "the name server does not answer",
  ECONNREFUSED: "the name server refuses questions",
};

function problemOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code).replace(/^DNS_/, "") : "";
  return PROBLEMS[code] ?? OpenShellError.from(error).message;
}
