import { PolicyEngine } from "../../engine/policy-engine.ts";
import type { EventSink, SecurityEvent } from "../../events/event.ts";
import type { Policy } from "../../policy/model.ts";
import type { Box, BoxSpec } from "./box/contract.ts";
import { openBox } from "./box/open.ts";
import { withBypassFindings } from "./proxy/capture/bypass-finding.ts";
import { BypassWatch } from "./proxy/capture/bypass-watch.ts";
import { hostAddresses } from "./proxy/destination/own-addresses.ts";
import { type Egress, serveEgress } from "./proxy/serve.ts";

/** What a sandbox is made from, whoever asks for it. */
export interface SandboxPlan {
  readonly box: BoxSpec;
  readonly policy: Policy;
  readonly trustedCidrs: readonly string[];
  readonly internalDomains: readonly string[];
  /** Addresses of the gateway; no policy reaches them (threat 24). */
  readonly blockedAddresses: readonly string[];
  readonly emit: EventSink;
}

/** Paths at which this program may be found inside; no rule matches them and none is proposed (threat 33). */
export const OWN_EXECUTABLES: readonly string[] = [process.execPath];

/** A confined place with its guarded way out. */
export interface Sandbox extends AsyncDisposable {
  readonly box: Box;
  /** The policy in force. */
  readonly policy: Policy;
  /** Puts a policy's network section in force, for new connections and open ones. Throws and keeps the old one when it cannot. */
  enforce(policy: Policy, description: string): void;
}

/** The order is the design: nothing runs inside before every decision about it can be made. */
export async function startSandbox(plan: SandboxPlan): Promise<Sandbox> {
  const engine = new PolicyEngine({ ownExecutables: OWN_EXECUTABLES });
  engine.load(plan.policy);
  const stack = new AsyncDisposableStack();
  try {
    const box = stack.use(await openBox(plan.box));
    const emit = withBypassFindings(plan.emit);
    const capturing = box.listeners.captured.length > 0;
    const watch = box.watch && stack.use(new BypassWatch({ sockets: box.watch, capturing, emit }));
    const egress: Egress = stack.use(
      serveEgress({
        listenerFd: box.listeners.proxy,
        capturedFds: box.listeners.captured,
        onCaptured: (peer, local) => watch?.accepted(peer, local),
        identify: (peer, local) => box.identify(peer, local),
        engine,
        emit,
        trustedCidrs: plan.trustedCidrs,
        internalDomains: plan.internalDomains,
        ownAddresses: hostAddresses(plan.blockedAddresses),
      }),
    );
    let policy = plan.policy;
    const resources = stack.move();
    return {
      box,
      get policy() {
        return policy;
      },
      enforce(next, description) {
        engine.load(next);
        policy = next;
        egress.closeDisallowed();
        plan.emit({ kind: "config", activity: "loaded", time: Date.now(), severity: "informational", message: description });
      },
      [Symbol.asyncDispose]: () => resources.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** Sends each event to every reader. */
export function fanOut(...sinks: readonly EventSink[]): EventSink {
  return (event: SecurityEvent) => {
    for (const sink of sinks) sink(event);
  };
}
