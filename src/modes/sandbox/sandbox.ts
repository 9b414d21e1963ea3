import { upstreamAuthorities } from "../../authorities.ts";
import { PolicyEngine } from "../../engine/policy-engine.ts";
import type { EventSink, SecurityEvent } from "../../events/event.ts";
import type { Policy } from "../../policy/model.ts";
import { readUpstreamProxy, routeThrough, type UpstreamProxySettings } from "../../upstream-proxy/settings.ts";
import type { Box, BoxSpec } from "./box/contract.ts";
import { openBox } from "./box/open.ts";
import { controlPlane } from "./control-plane/entrance.ts";
import type { AgentRelay } from "./control-plane/relay.ts";
import type { Credentials } from "./credentials/model.ts";
import type { InferenceService, InferenceSettings } from "./inference/service.ts";
import { NO_INFERENCE, openInference } from "./inference/start.ts";
import { withBypassFindings } from "./proxy/capture/bypass-finding.ts";
import { BypassWatch } from "./proxy/capture/bypass-watch.ts";
import { PolicyPorts } from "./proxy/capture/policy-ports.ts";
import { hostAddresses } from "./proxy/destination/own-addresses.ts";
import { serveNames } from "./proxy/dns/serve-names.ts";
import { type Egress, serveEgress } from "./proxy/serve.ts";
import { SandboxCa } from "./proxy/tls/sandbox-ca.ts";
import { writeTrustFiles } from "./proxy/tls/trust-files.ts";
import { UpstreamProxy } from "./proxy/upstream-proxy/upstream-proxy.ts";

/** What a sandbox is made from, whoever asks for it. */
export interface SandboxPlan {
  readonly box: BoxSpec;
  readonly policy: Policy;
  readonly trustedCidrs: readonly string[];
  readonly internalDomains: readonly string[];
  /** Addresses of the gateway; no policy reaches them (threat 24). */
  readonly blockedAddresses: readonly string[];
  readonly emit: EventSink;
  /** PEM file of authorities that servers may be certified by, beside the system's. */
  readonly upstreamCa?: string | undefined;
  /** What connections leave by; absent: they are made directly. */
  readonly upstreamProxy?: UpstreamProxySettings | undefined;
  /** What `inference.local` leads to at the start; absent: nothing yet. */
  readonly inference?: InferenceSettings | undefined;
  /** Secrets that requests are given on their way out; changed while the sandbox runs. */
  readonly credentials?: Credentials;
  /** Offers the gateway to programs inside; absent: there is none. */
  readonly controlPlane?: { readonly port: number; readonly relay: AgentRelay };
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
  /** Questions to models; its settings may be replaced at any time. */
  readonly inference: InferenceService;
}

/** The order is the design: nothing runs inside before every decision about it can be made. */
export async function startSandbox(plan: SandboxPlan): Promise<Sandbox> {
  const ca = new SandboxCa();
  const authorities = upstreamAuthorities(plan.upstreamCa);
  if (plan.box.tlsDirectory !== undefined) writeTrustFiles(plan.box.tlsDirectory, ca.certificate);
  const leaving = plan.upstreamProxy && readUpstreamProxy(plan.upstreamProxy);
  const upstreamProxy = leaving && new UpstreamProxy(leaving, authorities);
  const engine = new PolicyEngine({ ownExecutables: OWN_EXECUTABLES });
  const stack = new AsyncDisposableStack();
  try {
    // Its helper processes start on the other processor while the rules are loaded here.
    const opening = openBox(plan.box);
    stack.defer(() => opening.then((box) => box[Symbol.asyncDispose]()).catch(() => {}));
    engine.load(plan.policy);
    const box = await opening;
    const emit = withBypassFindings(plan.emit);
    const capturing = box.listeners.captured.length > 0 || box.listenOn !== undefined;
    const names = box.resolver && stack.use(serveNames(box.resolver, plan.box.sandboxName, emit));
    const nameOf = (address: string) => names?.synthetic.nameOf(address);
    const watch = box.watch && stack.use(new BypassWatch({ sockets: box.watch, capturing, emit, nameOf }));
    const inference = stack.use(
      openInference({
        settings: plan.inference ?? NO_INFERENCE,
        runDirectory: plan.box.runDirectory,
        authorities,
        proxy: leaving && routeThrough(leaving),
        emit: plan.emit,
      }),
    );
    const egress: Egress = stack.use(
      serveEgress({
        listenerFd: box.listeners.proxy,
        capturedFds: box.listeners.captured,
        onCaptured: (peer, local) => watch?.accepted(peer, local),
        ...(names && { names }),
        identify: (peer, local) => box.identify(peer, local),
        engine,
        emit,
        ca,
        authorities,
        inference: inference.local,
        ...(plan.credentials && { credentials: plan.credentials }),
        ...(plan.controlPlane && { controlPlane: controlPlane(plan.controlPlane.port, plan.controlPlane.relay, ca) }),
        upstreamProxy,
        trustedCidrs: plan.trustedCidrs,
        internalDomains: plan.internalDomains,
        ownAddresses: hostAddresses(plan.blockedAddresses),
      }),
    );
    const ports = box.listenOn && new PolicyPorts({ listen: box.listenOn, capture: (fds) => egress.capture(fds), emit });
    await ports?.cover(plan.policy);
    let policy = plan.policy;
    const resources = stack.move();
    return {
      box,
      inference: inference.service,
      get policy() {
        return policy;
      },
      enforce(next, description) {
        engine.load(next);
        policy = next;
        egress.closeDisallowed();
        void ports?.cover(next);
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
