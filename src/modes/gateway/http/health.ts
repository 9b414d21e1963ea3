import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { VERSION } from "../../../version.ts";
import type { Store } from "../store/database.ts";

type Request = IncomingMessage | Http2ServerRequest;
type Response = ServerResponse | Http2ServerResponse;

/** Everything that is not a call of the API: `/healthz` (the process lives), `/readyz` and `/health` (the store answers), else 404. */
export function pages(store: Store): (request: Request, response: Response) => void {
  return (request, response) => {
    const path = (request.url ?? "").split("?", 1)[0];
    if (request.method !== "GET" && request.method !== "HEAD") return answer(response, 404, "text/plain", "not found\n");
    if (path === "/healthz") return answer(response, 200, "text/plain", "ok\n");
    if (path === "/readyz" || path === "/health") {
      const database = checkStore(store);
      const healthy = database.status === "healthy";
      const body = { status: healthy ? "healthy" : "unhealthy", version: VERSION, checks: { database } };
      return answer(response, healthy ? 200 : 503, "application/json", `${JSON.stringify(body)}\n`);
    }
    answer(response, 404, "text/plain", "not found\n");
  };
}

function checkStore(store: Store): { status: string; latency_ms: number; error?: string } {
  const start = performance.now();
  try {
    store.db.query("SELECT 1").get();
    return { status: "healthy", latency_ms: Math.round((performance.now() - start) * 1000) / 1000 };
  } catch {
    return { status: "unhealthy", latency_ms: 0, error: "the store does not answer" };
  }
}

function answer(response: Response, status: number, type: string, body: string): void {
  const headers = { "content-type": type, "content-length": Buffer.byteLength(body), "x-content-type-options": "nosniff" };
  (response as ServerResponse).writeHead(status, headers);
  (response as ServerResponse).end(body);
}
