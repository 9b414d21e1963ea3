import type { OriginRequest } from "../http1/origin-request.ts";
import { ServerConnection, type ServerConnectionOwner, type ServerSite } from "./server-connection.ts";
import type { ServerExchangeEvents } from "./server-exchange.ts";
import { HTTP2, Upstream, type UpstreamEvents, type UpstreamTarget } from "./upstream.ts";

/** Connections to a server that speaks HTTP/1.1 alone, for the concurrent requests of one client. Browsers use 6; long polls need more. */
export const MAX_HTTP1_CONNECTIONS = 32;

/** Of those, all that all clients may have together beside their first ones: each is a descriptor, of which agent and supervisor have few. */
export const MAX_EXTRA_CONNECTIONS = 512;
/** Kept for the next requests while there are none. */
const IDLE_CONNECTIONS = 2;

let extra = 0;

/** Connections beside each client's first. */
export function extraConnections(): number {
  return extra;
}

interface Waiting {
  readonly request: OriginRequest;
  readonly events: ServerExchangeEvents;
}

/**
 * The server of one client's connection, as many connections as its requests need: one while the server speaks HTTP/2. They serve that client
 * alone, so that no program speaks in another's session (threat 25).
 */
export class Origin implements ServerConnectionOwner {
  readonly #target: UpstreamTarget;
  readonly #site: ServerSite;
  readonly #changed: () => void;
  readonly #connections = new Set<ServerConnection>();
  readonly #waiting = new Set<Waiting>();
  #closed = false;
  /** Of `extra`. */
  #extra = 0;

  /** `changed`: something waits to be sent. `first`: a connection that stands or is being opened. */
  constructor(target: UpstreamTarget, site: ServerSite, changed: () => void, first?: Upstream) {
    this.#target = target;
    this.#site = site;
    this.#changed = changed;
    if (first?.socket !== undefined || first?.opening === true) this.#connect(first);
  }

  /** Ends in `opened` or `failed`; the result takes it back before that. */
  request(request: OriginRequest, events: ServerExchangeEvents): () => void {
    const waiting = { request, events };
    this.#waiting.add(waiting);
    this.#assign();
    return () => this.#waiting.delete(waiting);
  }

  flush(): boolean {
    let sent = false;
    for (const connection of this.#connections) if (connection.flush()) sent = true;
    return sent;
  }

  abort(): void {
    this.#closed = true;
    this.#waiting.clear();
    for (const connection of [...this.#connections]) connection.abort();
    this.#connections.clear();
    this.#count();
  }

  changed(): void {
    this.#assign();
    this.#changed();
  }

  unreachable(connection: ServerConnection, problem: string): void {
    this.#connections.delete(connection);
    // Where another connection stands, it takes them in turn.
    if (this.#connections.size === 0)
      for (const waiting of [...this.#waiting]) {
        this.#waiting.delete(waiting);
        waiting.events.serverFailed({ problem, code: undefined, unprocessed: false });
      }
    this.changed();
  }

  lost(connection: ServerConnection): void {
    this.#connections.delete(connection);
    this.changed();
  }

  /** Connections that take no more requests and have none, and those that nobody needs now. */
  #closeUseless(): void {
    let idle = 0;
    for (const connection of [...this.#connections]) {
      if (connection.opening || connection.active > 0) continue;
      if (!connection.replaced && (this.#waiting.size > 0 || ++idle <= IDLE_CONNECTIONS)) continue;
      this.#connections.delete(connection);
      connection.close();
    }
    this.#count();
  }

  #count(): void {
    const now = Math.max(0, this.#connections.size - 1);
    extra += now - this.#extra;
    this.#extra = now;
  }

  #assign(): void {
    this.#closeUseless();
    for (const waiting of [...this.#waiting]) {
      if (this.#closed) return;
      const connection = [...this.#connections].find(({ hasRoom }) => hasRoom);
      if (connection === undefined) break;
      this.#waiting.delete(waiting);
      if (!connection.request(waiting.request, waiting.events)) this.#waiting.add(waiting);
    }
    this.#dial();
  }

  /** One connection until the server has said what it speaks; then, for HTTP/1.1, one for each request that waits. */
  #dial(): void {
    if (this.#closed || this.#waiting.size === 0) return;
    const connections = [...this.#connections];
    const opening = connections.filter((connection) => connection.opening).length;
    const speaksHttp2 = connections.some(({ protocol }) => protocol === HTTP2);
    const known = connections.length > opening;
    const wanted = known && !speaksHttp2 ? Math.min(this.#waiting.size, MAX_HTTP1_CONNECTIONS - (connections.length - opening)) : 1;
    // A session that takes no more streams for good is replaced; one that is full is waited for.
    const full = speaksHttp2 && connections.some(({ protocol, replaced }) => protocol === HTTP2 && !replaced);
    if (full) return;
    for (let count = opening; count < wanted; count++) {
      if (this.#connections.size > 0 && extra >= MAX_EXTRA_CONNECTIONS) return;
      this.#connect(new Upstream(this.#target, NOBODY));
      this.#count();
    }
  }

  #connect(upstream: Upstream): void {
    const connection = new ServerConnection(upstream, this.#site, this);
    this.#connections.add(connection);
    connection.open();
  }
}

const NOBODY: UpstreamEvents = {
  upstreamReady() {},
  upstreamFailed() {},
  upstreamData() {},
  upstreamDrained() {},
  upstreamEnded() {},
  upstreamClosed() {},
};
