import { upstreamAuthorities } from "../../authorities.ts";
import { PolicyEngine } from "../../engine/policy-engine.ts";
import type { EventSink, SecurityEvent } from "../../events/event.ts";
import type { Policy } from "../../policy/model.ts";
import { readUpstreamProxy, type UpstreamProxySettings } from "../../upstream-proxy/settings.ts";
import type { Box, BoxSpec } from "./box/contract.ts";
import type { EarlyBox } from "./box/early-box.ts";
import type { Ground } from "./box/ground.ts";
import { openBox } from "./box/open.ts";
import type { ControlPlane } from "./control-plane/entrance.ts";
import type { Credentials } from "./credentials/model.ts";
import type { InferenceService, InferenceSettings } from "./inference/service.ts";
import { NO_INFERENCE, openInference } from "./inference/start.ts";
import type { AnsweredSink } from "./proxy/answered.ts";
import { withBypassFindings } from "./proxy/capture/bypass-finding.ts";
import { BypassWatch } from "./proxy/capture/bypass-watch.ts";
import { PolicyPorts } from "./proxy/capture/policy-ports.ts";
import { hostAddresses } from "./proxy/destination/own-addresses.ts";
import { serveNames } from "./proxy/dns/serve-names.ts";
import { type OneTimeRule, OneTimeRules, withoutRule } from "./proxy/one-time-rules.ts";
import { type Egress, serveEgress } from "./proxy/serve.ts";
import { SandboxCa } from "./proxy/tls/sandbox-ca.ts";
import { writeTrustFiles } from "./proxy/tls/trust-files.ts";
import { UpstreamProxy } from "./proxy/upstream-proxy/upstream-proxy.ts";

/** What takes long and depends on little of a policy. */
export interface EarlySandbox {
  /** Its certificate is where the box was told to show it. */
  readonly ca: SandboxCa;
  readonly box: EarlyBox;
}

/** What a sandbox is made from, whoever asks for it. */
export interface SandboxPlan {
  /** What the box is built on, started beforehand; taken over. */
  readonly ground: Ground;
  /** What was begun on the ground before the policy was certain; absent: nothing was. */
  readonly early?: EarlySandbox;
  readonly box: BoxSpec;
  readonly policy: Policy;
  readonly trustedCidrs: readonly string[];
  readonly internalDomains: readonly string[];
  /** Addresses of the gateway; no policy reaches them (threat 24). */
  readonly blockedAddresses: readonly string[];
  readonly emit: EventSink;
  /** Told of servers' answers to what was let through. */
  readonly answered?: AnsweredSink;
  /** PEM file of authorities that servers may be certified by, beside the system's. */
  readonly upstreamCa?: string | undefined;
  /** What connections leave by; absent: they are made directly. */
  readonly upstreamProxy?: UpstreamProxySettings | undefined;
  /** What `inference.local` leads to at the start; absent: nothing yet. */
  readonly inference?: InferenceSettings | undefined;
  /** Rules of the policy that hold for one request. */
  readonly oneTimeRules?: readonly OneTimeRule[];
  /** One of them has had it. */
  readonly oneTimeRuleUsed?: (grantId: string) => void;
  /** Secrets that requests are given on their way out; changed while the sandbox runs. */
  readonly credentials?: Credentials;
  /** Offers the gateway to programs inside; absent: there is none, and what it takes to speak with one is not loaded. */
  readonly controlPlane?: (ca: SandboxCa) => ControlPlane;
}

/** Paths at which this program may be found inside; no rule matches them and none is proposed (threat 33). */
export const OWN_EXECUTABLES: readonly string[] = [process.execPath];

/** A confined place with its guarded way out. */
export interface Sandbox extends AsyncDisposable {
  readonly box: Box;
  /** The policy in force. */
  readonly policy: Policy;
  /** Puts a policy's network section in force, for new connections and open ones. Throws and keeps the old one when it cannot. */
  enforce(policy: Policy, description: string, oneTimeRules?: readonly OneTimeRule[]): void;
  /** Questions to models; its settings may be replaced at any time. */
  readonly inference: InferenceService;
}

/** The order is the design: nothing runs inside before every decision about it can be made. */
export async function startSandbox(plan: SandboxPlan): Promise<Sandbox> {
  const ca = plan.early?.ca ?? new SandboxCa();
  const authorities = upstreamAuthorities(plan.upstreamCa);
  if (plan.early === undefined && plan.box.tlsDirectory !== undefined) writeTrustFiles(plan.box.tlsDirectory, ca.certificate);
  const leaving = plan.upstreamProxy && readUpstreamProxy(plan.upstreamProxy);
  const upstreamProxy = leaving && new UpstreamProxy(leaving, authorities);
  const engine = new PolicyEngine({ ownExecutables: OWN_EXECUTABLES });
  let policy = plan.policy;
  let egress: Egress | undefined;
  const oneTime = new OneTimeRules((rule, grantId) => {
    const rest = withoutRule(policy, rule);
    engine.load(rest);
    policy = rest;
    // Other connections that the rule let in; the one that used it is in the middle of being decided now.
    setImmediate(() => egress?.closeDisallowed());
    const message = `rule '${rule}' has allowed its one request and is out of force`;
    plan.emit({ kind: "config", activity: "loaded", time: Date.now(), severity: "informational", message });
    plan.oneTimeRuleUsed?.(grantId);
  });
  oneTime.admit(plan.oneTimeRules ?? []);
  const stack = new AsyncDisposableStack();
  try {
    const opening = plan.early?.box.take(plan.box) ?? openBox(plan.box, plan.ground);
    // Waited for below; what fails before that must not count as nobody's.
    opening.catch(() => {});
    stack.defer(() => opening.then((box) => box[Symbol.asyncDispose]()).catch(() => {}));
    // The view is built on the other processor while the rules are loaded here, if its init is there already.
    if (await plan.ground.isReady()) await new Promise(setImmediate);
    engine.load(policy);
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
        via: upstreamProxy,
        emit: plan.emit,
      }),
    );
    const serving: Egress = stack.use(
      serveEgress({
        listenerFd: box.listeners.proxy,
        capturedFds: box.listeners.captured,
        onCaptured: (peer, local) => watch?.accepted(peer, local),
        ...(names && { names }),
        identify: (peer, local) => box.identify(peer, local),
        engine,
        oneTime,
        emit,
        answered: plan.answered,
        ca,
        authorities,
        inference: inference.local,
        ...(plan.credentials && { credentials: plan.credentials }),
        ...(plan.controlPlane && { controlPlane: plan.controlPlane(ca) }),
        upstreamProxy,
        trustedCidrs: plan.trustedCidrs,
        internalDomains: plan.internalDomains,
        ownAddresses: hostAddresses(plan.blockedAddresses),
      }),
    );
    const ports = box.listenOn && new PolicyPorts({ listen: box.listenOn, capture: (fds) => serving.capture(fds), emit });
    await ports?.cover(plan.policy);
    egress = serving;
    const resources = stack.move();
    return {
      box,
      inference: inference.service,
      get policy() {
        return policy;
      },
      enforce(given, description, oneTimeRules = []) {
        // What cannot be loaded must not change which rules hold for one request either.
        const next = oneTime.without(given, oneTimeRules);
        engine.load(next);
        oneTime.admit(oneTimeRules);
        policy = next;
        serving.closeDisallowed();
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
