import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { VERSION } from "../../../version.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { Store } from "../store/database.ts";

type Request = IncomingMessage | Http2ServerRequest;
type Response = ServerResponse | Http2ServerResponse;

export interface PageOptions {
  readonly store: Store;
  readonly metrics: Metrics;
  /** Whether a user calls: a client certificate, or the plaintext of the same machine. */
  readonly isUser: (request: Request) => boolean;
}

interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const PATHS = new Set(["/healthz", "/readyz", "/health", "/metrics"]);

/**
 * Everything that is not a call of the API: `/healthz` (the process lives), `/readyz` and `/health` (the store answers), `/metrics` (for
 * users), else 404. A request with a token is refused: tokens are for the API, and the inside of a sandbox has no business here.
 */
export function pages(options: PageOptions): (request: Request, response: Response) => void {
  return (request, response) => {
    const started = performance.now();
    const path = (request.url ?? "").split("?", 1)[0] ?? "";
    const { status, type, body } = render(options, request, path);
    const headers = { "content-type": type, "content-length": Buffer.byteLength(body), "x-content-type-options": "nosniff" };
    (response as ServerResponse).writeHead(status, headers);
    (response as ServerResponse).end(request.method === "HEAD" ? undefined : body);
    // Unknown paths are one label: a scanner must not grow the table.
    options.metrics.page(PATHS.has(path) ? path : "other", status, (performance.now() - started) / 1000);
  };
}

function render(options: PageOptions, request: Request, path: string): Page {
  if (request.headers.authorization !== undefined) return text(403, "permission denied\n");
  if (request.method !== "GET" && request.method !== "HEAD") return text(404, "not found\n");
  switch (path) {
    case "/healthz":
      return text(200, "ok\n");
    case "/readyz":
    case "/health":
      return readiness(options);
    case "/metrics":
      if (!options.isUser(request)) return text(401, "metrics are for users: present a client certificate\n");
      return { status: 200, type: "text/plain; version=0.0.4; charset=utf-8", body: options.metrics.render() };
    default:
      return text(404, "not found\n");
  }
}

function readiness({ store, metrics }: PageOptions): Page {
  const start = performance.now();
  const healthy = storeAnswers(store);
  const elapsed = performance.now() - start;
  metrics.databaseCheck(elapsed / 1000, healthy);
  const status = healthy ? "healthy" : "unhealthy";
  const database = { status, latency_ms: Math.round(elapsed * 1000) / 1000, ...(healthy ? {} : { error: "the store does not answer" }) };
  const body = `${JSON.stringify({ status, version: VERSION, checks: { database } })}\n`;
  return { status: healthy ? 200 : 503, type: "application/json", body };
}

/** Whether the store answers a question at all. */
export function storeAnswers(store: Store): boolean {
  try {
    store.db.query("SELECT 1").get();
    return true;
  } catch {
    return false;
  }
}

function text(status: number, body: string): Page {
  return { status, type: "text/plain; charset=utf-8", body };
}
