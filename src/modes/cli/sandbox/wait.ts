import { integerValue } from "../../../command/values.ts";
import { OpenShellError } from "../../../error.ts";
import { type Sandbox, SandboxPhase } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { Gateway } from "../connection/gateway.ts";
import type { Progress } from "./progress.ts";
import { phaseName } from "./view.ts";

/** Nothing heard of the sandbox for this long: give up (the published client's default; `OPENSHELL_PROVISION_TIMEOUT` in seconds). */
const PROVISION_TIMEOUT_SECONDS = 300;
/** Seconds; a day. */
const MAX_PROVISION_TIMEOUT = 86_400;

/** How long to wait for news of a sandbox that starts, in seconds; throws a usage error of the command at `path`. */
export function provisionTimeout(env: Readonly<Record<string, string | undefined>>, path: readonly string[]): number {
  const value = env["OPENSHELL_PROVISION_TIMEOUT"];
  if (!value) return PROVISION_TIMEOUT_SECONDS;
  return integerValue("OPENSHELL_PROVISION_TIMEOUT", value, { min: 1, max: MAX_PROVISION_TIMEOUT }, path);
}

/** Phases that a new sandbox can rest in. */
const SETTLED = new Set([SandboxPhase.READY, SandboxPhase.COMPLETED, SandboxPhase.ERROR, SandboxPhase.STOPPED]);

/** The condition that tells why a sandbox is not ready. */
export function readyCondition(sandbox: Sandbox) {
  return sandbox.status?.conditions.find(({ type }) => type === "Ready");
}

/** True when the sandbox itself works and only its main process has ended. */
export function mainProcessEnded(sandbox: Sandbox): boolean {
  return sandbox.status?.exitCode !== undefined || readyCondition(sandbox)?.reason === "MainProcessExited";
}

/** Watches a sandbox until it rests, and answers its last state. Errors: deleted meanwhile, or nothing heard for `idleSeconds`. */
export async function watchUntilSettled(name: string, gateway: Gateway, progress: Progress, idleSeconds: number): Promise<Sandbox> {
  const abort = new AbortController();
  const giveUp = () => abort.abort();
  let timer = setTimeout(giveUp, idleSeconds * 1000);
  let said = "";
  let last: Sandbox | undefined;
  try {
    const request = { workspaceScope: gateway.scope, sandbox: name, followStatus: true, followEvents: true, eventTail: 50 };
    for await (const { payload } of gateway.client.watchSandbox(request, { signal: abort.signal })) {
      clearTimeout(timer);
      if (payload.case === "sandbox") last = payload.value;
      timer = setTimeout(giveUp, idleSeconds * 1000);
      if (payload.case === "event") progress.note(`${payload.value.reason}: ${payload.value.message}`);
      if (payload.case !== "sandbox") continue;
      const { phase } = payload.value.status ?? {};
      if (phase !== undefined && SETTLED.has(phase)) return payload.value;
      const text = phaseName(phase);
      if (text !== said) progress.step(text);
      said = text;
    }
  } catch (reason) {
    if (!abort.signal.aborted) throw reason;
    const why = last === undefined ? undefined : readyCondition(last);
    throw new OpenShellError(
      "deadline_exceeded",
      `sandbox '${name}' is not ready and nothing was heard of it for ${idleSeconds} s${why === undefined ? "" : ` (${why.reason}: ${why.message})`}`,
      { cause: reason, next: `openshell logs ${name}` },
    );
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
  throw new OpenShellError("not_found", `sandbox '${name}' was deleted while we waited for it`, { next: "openshell sandbox list" });
}

/** Why a sandbox is in ERROR, with where to look. */
export function sandboxFailure(name: string, sandbox: Sandbox): OpenShellError {
  const why = readyCondition(sandbox);
  const reason = why === undefined || (why.reason === "" && why.message === "") ? "no reason given" : `${why.reason}: ${why.message}`;
  return new OpenShellError("failed_precondition", `sandbox '${name}' failed (${reason})`, { next: `openshell logs ${name}` });
}
