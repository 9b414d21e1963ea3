import { isIP } from "node:net";
import { ProviderError, type ProviderRequest } from "../../../inference/provider-client.ts";
import type { InferenceRoute } from "../../../inference/route.ts";
import { DEFAULT_LIMITS, UPSTREAM_KEEP_ALIVE_MS } from "../proxy/limits.ts";
import type { UpstreamProxy } from "../proxy/upstream-proxy/upstream-proxy.ts";
import { type Answered, type ConnectionFailure, type ProviderAnswer, ProviderConnection } from "./provider-connection.ts";

/** How a sandbox reaches providers. */
export interface ProviderReach {
  /** Every address of a name, in the order to try them. */
  readonly resolve: (host: string) => Promise<readonly string[]>;
  /** What servers are verified against, PEM. */
  readonly authorities: readonly string[];
  /** What hosts are reached through instead of their addresses, where it takes them; their names are not resolved here then. */
  readonly via?: UpstreamProxy | undefined;
}

/** Servers close idle connections after 5 s (Node, uvicorn) to minutes; a question on one that is being closed would have to be asked again. */
const KEPT_MS = 4000;
/** Idle connections of one route. */
const MAX_KEPT = 16;
/** RFC 9110 section 5.5. */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const PORTS: Readonly<Record<string, number>> = { "http:": 80, "https:": 443 };

/**
 * Speaks HTTP/1.1 to the provider of one route, over connections that are kept for a moment. The host's name is resolved by us, once for each
 * new connection, and exactly the addresses found are dialled; the server proves the name. Redirects are answers like others.
 */
export class ProviderLink implements Disposable {
  readonly #reach: ProviderReach;
  readonly #url: URL;
  readonly #host: string;
  readonly #port: number;
  readonly #via: UpstreamProxy | undefined;
  /** The last one used is at the end. */
  #idle: ProviderConnection[] = [];
  #disposed = false;

  constructor({ baseUrl }: Pick<InferenceRoute, "baseUrl">, reach: ProviderReach) {
    this.#reach = reach;
    this.#url = baseUrl;
    this.#host = baseUrl.hostname.replace(/^\[|\]$/g, "");
    this.#port = baseUrl.port === "" ? (PORTS[baseUrl.protocol] ?? 0) : Number(baseUrl.port);
    this.#via = reach.via?.takes({ host: this.#host, port: this.#port }) === true ? reach.via : undefined;
  }

  /** @throws ProviderError when there is no answer; the reason of the signal when that ended it. */
  async send(request: ProviderRequest): Promise<ProviderAnswer> {
    request.signal.throwIfAborted();
    request.signal.throwIfAborted();
    const kept = this.#kept();
    let failure: ConnectionFailure | undefined;
    if (kept !== undefined) {
      const answered = await ask(kept, request);
      if ("answer" in answered) return answered.answer;
      // It was closed while we wrote; nobody has heard the question.
      if (answered.failure.kind !== "stale") throw errorOf(answered.failure);
    }
    for (const address of await this.#addresses()) {
      request.signal.throwIfAborted();
      const answered = await ask(this.#connection(address), request);
      if ("answer" in answered) return answered.answer;
      failure = answered.failure;
      // Nothing was sent: another address may do better.
      if (failure.kind !== "dial") break;
    }
    throw errorOf(failure ?? { kind: "dial", detail: `${this.#host} has no address` });
  }

  /** Closes what is idle; answers under way go on. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    for (const connection of this.#idle.splice(0)) connection.close();
  }

  async #addresses(): Promise<readonly string[]> {
    if (this.#via !== undefined || isIP(this.#host) !== 0) return [this.#host];
    try {
      return await this.#reach.resolve(this.#host);
    } catch (error) {
      throw new ProviderError({ kind: "unavailable", detail: `${this.#host}: ${error instanceof Error ? error.message : String(error)}` });
    }
  }

  #kept(): ProviderConnection | undefined {
    this.#closeOld();
    return this.#idle.pop();
  }

  #connection(address: string): ProviderConnection {
    const target = {
      addresses: [address],
      port: this.#port,
      host: this.#host,
      authorities: this.#reach.authorities,
      dialMs: DEFAULT_LIMITS.dialMs,
      keepAliveMs: UPSTREAM_KEEP_ALIVE_MS,
      ...(this.#via && { via: this.#via }),
    };
    return new ProviderConnection(target, this.#url.protocol === "https:" ? "https" : "http", {
      idle: (connection) => this.#keep(connection),
      gone: (connection) => {
        this.#idle = this.#idle.filter((other) => other !== connection);
      },
    });
  }

  #keep(connection: ProviderConnection): void {
    if (this.#disposed || this.#idle.length >= MAX_KEPT) {
      connection.close();
      return;
    }
    this.#idle.push(connection);
    setTimeout(() => this.#closeOld(), KEPT_MS).unref();
  }

  #closeOld(): void {
    const oldest = performance.now() - KEPT_MS;
    for (const connection of this.#idle.filter(({ idleSince }) => idleSince <= oldest)) connection.close();
  }
}

async function ask(connection: ProviderConnection, { method, url, headers, body, signal }: ProviderRequest): Promise<Answered> {
  const leave = () => connection.close();
  signal.addEventListener("abort", leave, { once: true });
  try {
    const answered = await connection.ask(method, requestBytes(method, url, headers, body));
    if (signal.aborted) {
      connection.close();
      signal.throwIfAborted();
    }
    return answered;
  } finally {
    signal.removeEventListener("abort", leave);
  }
}

/** Head and body, in memory of their own. */
function requestBytes(method: string, url: URL, headers: Readonly<Record<string, string>>, body: string | undefined): Buffer {
  const length = body === undefined ? 0 : Buffer.byteLength(body);
  const fields = {
    host: url.host,
    accept: "*/*",
    connection: "keep-alive",
    ...headers,
    ...(body !== undefined && { "content-length": length }),
  };
  const lines = Object.entries(fields).map(([name, value]) => {
    if (!FIELD_VALUE.test(String(value)))
      throw new ProviderError({ kind: "unavailable", detail: `field ${name} has characters that none may have` });
    return `${name}: ${value}\r\n`;
  });
  const head = `${method} ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join("")}\r\n`;
  const bytes = Buffer.allocUnsafeSlow(head.length + length);
  bytes.write(head, "latin1");
  if (body !== undefined) bytes.write(body, head.length, "utf8");
  return bytes;
}

function errorOf({ kind, detail }: ConnectionFailure): ProviderError {
  return new ProviderError({ kind: kind === "protocol" ? "protocol" : "unavailable", detail });
}
