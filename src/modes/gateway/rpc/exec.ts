import { OpenShellError } from "../../../error.ts";
import type { ExecSandboxInput, ExecSandboxRequest } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { GatewayContext } from "../context.ts";
import { runExec } from "../relay/exec.ts";
import { requireEnterable } from "../sandboxes/enterable.ts";
import { validateExec } from "../sandboxes/validate-exec.ts";
import type { SandboxRecord } from "../store/sandboxes.ts";
import type { Handlers } from "./service-impl.ts";

/** Commands in a sandbox, with their input at once or as a stream. */
export function execHandlers({ sandboxes, sessions, relays, streamed }: GatewayContext): Handlers {
  const target = (request: ExecSandboxRequest): SandboxRecord => {
    validateExec(request);
    const { record } = sandboxes.find(request.workspaceScope, request.sandbox);
    requireEnterable(record, (id) => sessions.get(id) !== undefined);
    if (request.mainProcess && record.spec.command.length === 0)
      throw new OpenShellError("failed_precondition", `sandbox '${record.name}' has no main process`);
    return record;
  };
  return {
    async *execSandbox(request, call) {
      const record = target(request);
      yield* streamed(request, call, record.id, (beginning) => runExec(relays, record.id, request, nothing(), call.signal, beginning));
    },
    async *execSandboxInteractive(messages, call) {
      const input = messages[Symbol.asyncIterator]();
      const first = await input.next();
      const start = first.done === true ? undefined : first.value.payload;
      if (start?.case !== "start") throw new OpenShellError("invalid_argument", "the first message is start");
      const record = target(start.value);
      yield* runExec(relays, record.id, start.value, rest(input), call.signal);
    },
  };
}

async function* nothing(): AsyncGenerator<ExecSandboxInput> {}

/** What follows the first message; another start is an error of the client. */
async function* rest(input: AsyncIterator<ExecSandboxInput>): AsyncGenerator<ExecSandboxInput> {
  for (let next = await input.next(); next.done !== true; next = await input.next()) {
    if (next.value.payload.case === "start") throw new OpenShellError("invalid_argument", "start was sent twice");
    yield next.value;
  }
}
