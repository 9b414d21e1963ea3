import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { type Health, HealthCheckResponse_ServingStatus as Serving } from "../../../rpc/gen/grpc/health/v1/health_pb.ts";
import { storeAnswers } from "../http/health.ts";
import type { Store } from "../store/database.ts";

/** How often a watch looks whether the status changed. Milliseconds. */
const WATCH_INTERVAL = 5000;

/** The gRPC health protocol; `services` are the full names that this server has. */
export function healthService(store: Store, services: ReadonlySet<string>): ServiceImpl<typeof Health> {
  const known = (service: string): boolean => service === "" || services.has(service);
  const status = (): Serving => (storeAnswers(store) ? Serving.SERVING : Serving.NOT_SERVING);
  return {
    check({ service }) {
      if (!known(service)) throw new ConnectError("there is no such service", Code.NotFound);
      return { status: status() };
    },
    async *watch({ service }, { signal }) {
      let last: Serving | undefined;
      while (!signal.aborted) {
        const now = known(service) ? status() : Serving.SERVICE_UNKNOWN;
        if (now !== last) yield { status: now };
        last = now;
        await pause(WATCH_INTERVAL, signal);
      }
    },
  };
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done, { once: true });
  });
}
