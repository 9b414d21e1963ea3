import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { SandboxPhase } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { SandboxRepository } from "../store/sandboxes.ts";
import { Counter, exposition, Gauge, Histogram } from "./registry.ts";

/** What the gateway counts about itself, for Prometheus. */
export interface Metrics {
  /** Around every call, outermost: counts it with its code and takes its time, a stream's up to its end. */
  readonly interceptor: Interceptor;
  /** A call that the gate refused, which no interceptor sees. */
  refused(method: string, reason: unknown): void;
  page(path: string, status: number, seconds: number): void;
  databaseCheck(seconds: number, healthy: boolean): void;
  render(): string;
}

export interface MetricsSources {
  readonly repository: Pick<SandboxRepository, "all">;
  readonly sessions: { readonly size: number };
}

export function gatewayMetrics({ repository, sessions }: MetricsSources): Metrics {
  const calls = new Counter("openshell_server_grpc_requests_total", "Calls of the API by method and code.");
  const callTimes = new Histogram("openshell_server_grpc_request_duration_seconds", "Time of calls; of streams up to their end.");
  const pages = new Counter("openshell_server_http_requests_total", "Requests of pages by path and status.");
  const pageTimes = new Histogram("openshell_server_http_request_duration_seconds", "Time of requests of pages.");
  const checks = new Histogram("openshell_server_readiness_database_duration_seconds", "Time of the store's answer to a readiness check.");
  let healthy = true;
  const database = new Gauge("openshell_server_readiness_database_healthy", "1 when the store answered the last readiness check.", () => [
    { labels: {}, value: healthy ? 1 : 0 },
  ]);
  const sandboxes = new Gauge("openshell_server_sandboxes", "Sandboxes by phase.", () =>
    [...Map.groupBy(repository.all(), ({ status }) => SandboxPhase[status.phase] ?? "UNKNOWN")].map(([phase, records]) => ({
      labels: { phase: phase.toLowerCase() },
      value: records.length,
    })),
  );
  const live = new Gauge("openshell_server_supervisor_sessions", "Supervisors that are connected.", () => [
    { labels: {}, value: sessions.size },
  ]);

  const ended = (method: string, started: number, reason?: unknown): void => {
    calls.add({ method, code: reason === undefined ? "OK" : codeName(reason) });
    callTimes.observe({ method }, (performance.now() - started) / 1000);
  };
  return {
    interceptor: (next) => async (request) => {
      const started = performance.now();
      const { name } = request.method;
      try {
        const response = await next(request);
        if (!response.stream) {
          ended(name, started);
          return response;
        }
        return { ...response, message: timed(response.message, (reason) => ended(name, started, reason)) };
      } catch (error) {
        ended(name, started, error);
        throw error;
      }
    },
    refused: (method, reason) => calls.add({ method, code: codeName(reason) }),
    page(path, status, seconds) {
      pages.add({ path, status: String(status) });
      pageTimes.observe({ path }, seconds);
    },
    databaseCheck(seconds, answered) {
      healthy = answered;
      checks.observe({}, seconds);
    },
    render: () => exposition([calls, callTimes, pages, pageTimes, database, checks, sandboxes, live]),
  };
}

/** Passes a stream on and tells once how it ended: undefined when by itself. */
async function* timed<T>(messages: AsyncIterable<T>, done: (reason?: unknown) => void): AsyncIterable<T> {
  // A reader that goes away ends the generator without an error.
  let reason: unknown = new ConnectError("the caller went away", Code.Canceled);
  try {
    yield* messages;
    reason = undefined;
  } catch (error) {
    reason = error;
    throw error;
  } finally {
    done(reason);
  }
}

/** `NOT_FOUND`, as gRPC spells codes. */
function codeName(reason: unknown): string {
  const name = Code[ConnectError.from(reason).code] ?? "Unknown";
  return name.replace(/(?<=[a-z])([A-Z])/g, "_$1").toUpperCase();
}
