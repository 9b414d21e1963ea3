import { timestampMs } from "@bufbuild/protobuf/wkt";
import { sandboxPrincipal } from "../auth/principal.ts";
import type { GatewayContext } from "../context.ts";
import { requireLevel } from "../logs/service.ts";
import { LOG_LINES_KEPT } from "../store/logs.ts";
import type { Handlers } from "./service-impl.ts";

/** Logs of a sandbox: written by its supervisor, read by people. */
export function logHandlers({ sandboxes, logs }: GatewayContext): Handlers {
  return {
    getSandboxLogs(request) {
      requireLevel(request.minLevel);
      const { id } = sandboxes.find(request.workspaceScope, request.sandbox);
      const since = request.sinceTime === undefined ? undefined : timestampMs(request.sinceTime);
      const limit = request.lines === 0 ? LOG_LINES_KEPT : Math.min(request.lines, LOG_LINES_KEPT);
      const { lines, total } = logs.tail(id, limit, { sources: request.sources, minLevel: request.minLevel, since });
      return { logs: lines, bufferTotal: total };
    },
    async pushSandboxLogs(batches, call) {
      const { sandboxId } = sandboxPrincipal(call);
      for await (const batch of batches) logs.push(sandboxId, batch.logs);
      return {};
    },
  };
}
