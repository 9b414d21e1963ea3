import { OpenShellError } from "../../../error.ts";
import { fromConnectError } from "../../../rpc/errors.ts";
import { PolicyStatus } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { CALL_TIMEOUT_MS, type Gateway } from "../connection/gateway.ts";

/** First look again after this long; an acknowledgement usually takes a few milliseconds. */
const FIRST_POLL_MS = 20;
/** Looks grow apart up to this. */
const MAX_POLL_MS = 500;

/**
 * Waits until the supervisor has acknowledged a policy revision (or a later one). Errors: it refused the revision, with its reason; or no
 * answer within `timeoutSeconds`.
 */
export async function waitLoaded(sandbox: string, version: number, gateway: Gateway, timeoutSeconds: number): Promise<void> {
  const deadline = performance.now() + timeoutSeconds * 1000;
  let pause = FIRST_POLL_MS;
  for (;;) {
    try {
      const request = { workspaceScope: gateway.scope, sandbox, version };
      const { revision, activeVersion } = await gateway.client.getSandboxPolicyStatus(request, { timeoutMs: CALL_TIMEOUT_MS });
      if (revision?.status === PolicyStatus.LOADED || (activeVersion !== 0 && activeVersion >= version)) return;
      if (revision?.status === PolicyStatus.FAILED) {
        throw new OpenShellError(
          "failed_precondition",
          `the sandbox refused policy version ${version}: ${revision.loadError || "no reason given"}`,
          {
            next: `openshell policy get ${sandbox}`,
          },
        );
      }
    } catch (reason) {
      // A revision that is not there yet is awaited like one that is not loaded.
      if (reason instanceof OpenShellError || fromConnectError(reason).code !== "not_found") throw reason;
    }
    if (performance.now() > deadline) {
      throw new OpenShellError(
        "deadline_exceeded",
        `the sandbox has not acknowledged policy version ${version} within ${timeoutSeconds} s`,
        {
          next: `openshell sandbox get ${sandbox}`,
        },
      );
    }
    await Bun.sleep(pause);
    pause = Math.min(MAX_POLL_MS, pause * 2);
  }
}
