import { isIP } from "node:net";
import type { InferenceRoute } from "./route.ts";

/** What stands between a request and its answer when there is none. */
export type ProviderFailure = { readonly kind: "timeout" | "unavailable" | "protocol"; readonly detail: string };

export class ProviderError extends Error {
  readonly failure: ProviderFailure;

  constructor(failure: ProviderFailure) {
    super(failure.detail);
    this.failure = failure;
  }
}

/** How the supervisor reaches providers. */
export interface Reach {
  /** Every address of a name, in the order to try them. */
  readonly resolve: (host: string) => Promise<readonly string[]>;
  /** What servers are verified against, PEM. */
  readonly authorities: readonly string[];
  /** What a host is reached through instead of its addresses; the name is not resolved here then. */
  readonly proxy?: ((host: string, port: number) => ProxyRoute | undefined) | undefined;
}

/** An HTTP proxy. */
export interface ProxyRoute {
  readonly url: string;
  /** Value of Proxy-Authorization. */
  readonly authorization?: string;
}

export interface ProviderRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  /** Ends the request, and the connection that carries it. */
  readonly signal: AbortSignal;
}

/** Failures of a dial, before anything was sent: another address may do better. */
const DIAL_FAILURES: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "ConnectionRefused",
  "FailedToOpenSocket",
]);
/** The server was reached and said something else than HTTP. */
const PROTOCOL_FAILURES = /^(?:HPE_|Malformed|InvalidHTTP|UnexpectedRedirect|HTTPHeadersOversized|ResponseHeader)/;

/**
 * Speaks HTTP/1.1 to the provider of one route, over connections that are kept. The host's name is resolved by us, once for each request,
 * and exactly the addresses found are dialled; the server proves the name. Proxies of our environment and redirects have no say.
 */
export class ProviderClient implements Disposable {
  readonly #reach: Reach;
  readonly #session: Bun.FetchSession;
  readonly #host: string;
  readonly #proxied: boolean;

  constructor(route: Pick<InferenceRoute, "baseUrl">, reach: Reach) {
    this.#reach = reach;
    this.#host = route.baseUrl.hostname.replace(/^\[|\]$/g, "");
    const named = isIP(this.#host) === 0 ? { serverName: this.#host } : {};
    const { protocol, port } = route.baseUrl;
    const proxy = reach.proxy?.(this.#host, port === "" ? (protocol === "https:" ? 443 : 80) : Number(port));
    this.#proxied = proxy !== undefined;
    this.#session = new Bun.FetchSession({
      proxy: proxyOption(proxy),
      tls: { ca: reach.authorities.join("\n"), rejectUnauthorized: true, ...named },
    });
  }

  /** @throws ProviderError when there is no answer; the reason of the signal when that ended it. */
  async send(request: ProviderRequest): Promise<Response> {
    let last: ProviderError | undefined;
    for (const address of await this.#addresses()) {
      try {
        return await this.#sendTo(address, request);
      } catch (error) {
        request.signal.throwIfAborted();
        last = failureOf(error);
        if (!(error instanceof Error && "code" in error && DIAL_FAILURES.has(String(error.code)))) throw last;
      }
    }
    throw last ?? new ProviderError({ kind: "unavailable", detail: `${this.#host} has no address` });
  }

  [Symbol.dispose](): void {
    this.#session.close();
  }

  async #addresses(): Promise<readonly string[]> {
    if (this.#proxied || isIP(this.#host) !== 0) return [this.#host];
    try {
      return await this.#reach.resolve(this.#host);
    } catch (error) {
      throw new ProviderError({ kind: "unavailable", detail: `${this.#host}: ${error instanceof Error ? error.message : String(error)}` });
    }
  }

  #sendTo(address: string, { method, url, headers, body, signal }: ProviderRequest): Promise<Response> {
    const pinned = new URL(url);
    pinned.hostname = isIP(address) === 6 ? `[${address}]` : address;
    return this.#session.fetch(pinned, {
      method,
      headers: { ...headers, host: url.host },
      ...(body === undefined ? {} : { body }),
      redirect: "manual",
      decompress: false,
      signal,
      // The time until an answer begins is the route's own.
      timeout: false,
    });
  }
}

/** Nothing but what we were told to use: variables of our environment that name exceptions have no say either. */
function proxyOption(proxy: ProxyRoute | undefined): Bun.FetchProxyOption {
  if (proxy === undefined) return false;
  const headers = proxy.authorization === undefined ? {} : { headers: { "Proxy-Authorization": proxy.authorization } };
  return { url: proxy.url, respectNoProxy: false, ...headers };
}

function failureOf(error: unknown): ProviderError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const detail = error instanceof Error ? error.message : String(error);
  return new ProviderError({ kind: PROTOCOL_FAILURES.test(code) ? "protocol" : "unavailable", detail });
}
