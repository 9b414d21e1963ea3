import { isIP } from "node:net";
import { join } from "node:path";
import type { EventSink } from "../../events/event.ts";
import type { SupervisorExit, SupervisorSpec } from "../../supervisor-spec.ts";
import { PolicyAdvisor } from "./advisor/policy-advisor.ts";
import type { Ground } from "./box/ground.ts";
import { gatewayBoxSpec } from "./box-spec.ts";
import { childEnvironment } from "./child-environment.ts";
import { CONTROL_PLANE_HOST, controlPlane } from "./control-plane/entrance.ts";
import { AgentRelay } from "./control-plane/relay.ts";
import { withModels } from "./inference/environment.ts";
import { EventLog } from "./logs/event-log.ts";
import { LogPush } from "./logs/log-push.ts";
import { madeConfigurationNote, rememberToolConfiguration } from "./made-configuration.ts";
import { MainProcess } from "./main-process.ts";
import { type EarlySandbox, fanOut, OWN_EXECUTABLES, type Sandbox, startSandbox } from "./sandbox.ts";
import { type Configuration, scope } from "./session/configuration.ts";
import { ConfigurationKeeper } from "./session/configuration-keeper.ts";
import { EndpointReporter } from "./session/endpoint-reporter.ts";
import { serveExecRelay } from "./session/exec-relay.ts";
import type { FirstState } from "./session/first-state.ts";
import { type GatewayClient, type GatewayConnection, gatewayTransport } from "./session/gateway-client.ts";
import { inferenceLimits } from "./session/inference-bundle.ts";
import { MadeReporter } from "./session/made-reporter.ts";
import { serveMainRelay } from "./session/main-relay.ts";
import { ProviderState } from "./session/provider-credentials.ts";
import { ReadinessReporter } from "./session/readiness-reporter.ts";
import { SupervisorSession } from "./session/supervisor-session.ts";
import { openEntrance } from "./ssh/entrance.ts";

const WORKDIR = "/sandbox";

/** How often configuration of a person's tools that was not there before is looked for. Milliseconds. */
const LOOK_INTERVAL = 10_000;

/** How a supervisor ended, for the gateway that finds it gone. */
export type End = Omit<SupervisorExit, "instanceId">;

/** What is there before a sandbox can be. */
export interface Beginnings {
  readonly ground: Ground;
  /** What is built on it already. */
  readonly early: EarlySandbox;
  readonly connection: GatewayConnection;
  readonly first: FirstState;
  /** Settles with the name of the signal that ends us. */
  readonly stop: Promise<string>;
}

/** Runs the sandbox until it is told to stop, its box ends, or its main process does where it is not kept. */
export async function supervise(spec: SupervisorSpec, { ground, early, connection, first, stop }: Beginnings): Promise<End> {
  const { client, inference, token, renew } = connection;
  const { configuration, notes, provided, routes } = first;
  const providers = new ProviderState(provided);
  const relay = new AgentRelay({
    connect: (interceptors) => gatewayTransport(spec.gateway, interceptors).transport,
    issueToken: async () => (await client.issueSandboxToken({})).token,
  });
  const endpoint = `https://${CONTROL_PLANE_HOST}:${gatewayPort(spec.gateway.endpoint)}`;

  const log = new EventLog(
    { context: { sandboxId: spec.sandboxId, sandboxName: spec.sandboxName }, directory: join(spec.directory, "log") },
    configuration.settings.get("ocsf_json_enabled") === true,
  );
  const push = new LogPush(client, spec.sandboxId);
  const advisor = new PolicyAdvisor({
    submit: ({ summaries, chunks, overflow }) =>
      client.submitPolicyAnalysis({
        ...scope(spec),
        name: spec.sandboxName,
        summaries,
        proposedChunks: chunks,
        analysisMode: "mechanistic",
        overflowCount: overflow,
      }),
    currentPolicy: () => sandbox.policy,
    trustedCidrs: spec.trustedCidrs,
    internalDomains: spec.internalDomains,
    ownExecutables: OWN_EXECUTABLES,
    emit: (event) => emit(event),
  });
  let applied = (): Configuration => configuration;
  const endpoints = new EndpointReporter({ client, sandboxId: spec.sandboxId, current: () => applied() });
  const emit: EventSink = fanOut(
    log.write,
    (event) => push.observe(event),
    (event) => advisor.observe(event),
    (event) => endpoints.observe(event),
  );
  for (const message of notes) emit({ kind: "config", activity: "loaded", time: Date.now(), severity: "informational", message });

  const made = rememberToolConfiguration({
    policyPaths: configuration.policy.filesystem?.readWrite ?? [],
    mounted: spec.mounts.filter(({ readWrite }) => readWrite).map(({ source }) => source),
  });
  const madeReporter = new MadeReporter({
    made,
    tell: (path) =>
      emit({ kind: "config", activity: "loaded", time: Date.now(), severity: "medium", message: madeConfigurationNote(path) }),
    report: (madeConfiguration) =>
      client.reportSandboxConfiguration({
        sandboxId: spec.sandboxId,
        expectedInstanceId: spec.instanceId,
        madeConfiguration: [...madeConfiguration],
      }),
  });
  await using sandbox: Sandbox = await startSandbox({
    ground,
    early,
    box: gatewayBoxSpec(configuration.policy, spec),
    policy: configuration.policy,
    oneTimeRules: configuration.oneTimeRules,
    oneTimeRuleUsed: (grantId) => void untilDelivered(() => client.reportOneTimeRuleUsed({ sandboxId: spec.sandboxId, grantId })),
    trustedCidrs: spec.trustedCidrs,
    internalDomains: spec.internalDomains,
    blockedAddresses: gatewayAddresses(spec.gateway.endpoint),
    emit,
    answered: (answer) => endpoints.answered(answer),
    upstreamCa: spec.upstreamCa,
    upstreamProxy: spec.upstreamProxy,
    credentials: providers.credentials,
    inference: { routes: routes.routes, limits: inferenceLimits(configuration) },
    controlPlane: (ca) => controlPlane(gatewayPort(spec.gateway.endpoint), relay, ca),
  });
  const keeper = new ConfigurationKeeper({
    ...{ client, inference, spec, sandbox, log, advisor, providers, routes },
    applied: configuration,
  });
  applied = () => keeper.applied;
  const readiness = new ReadinessReporter(client, spec, () => ({
    configuration: keeper.applied,
    environmentRevision: providers.revision,
  }));
  const environment = (added: Readonly<Record<string, string>>) =>
    childEnvironment(
      { ...spec, endpoint },
      withModels(sandbox.inference.routes, { ...providers.environment(), ...spec.environment, ...added }),
    );
  const programs = { box: sandbox.box, environment: () => environment({}), workdir: WORKDIR };
  const main =
    spec.command.length === 0
      ? undefined
      : new MainProcess({ ...programs, command: spec.command, tty: spec.tty ?? false, emit, attended: spec.attended ?? false });
  const entrance = openEntrance({ client, ...programs, ...(main === undefined ? {} : { main }) });
  const session = new SupervisorSession(client, {
    hello: () => ({
      sandboxId: spec.sandboxId,
      instanceId: spec.instanceId,
      enforcement: sandbox.box.enforcement.map((entry) => ({ ...entry })),
      hostKeyFingerprint: entrance.hostKeyFingerprint,
    }),
    applyConfig: async (update) => {
      const result = await keeper.apply(update);
      void readiness.report();
      return result;
    },
    openRelay: (open) =>
      main !== undefined && open.target.case === "exec" && open.target.value.start?.mainProcess
        ? serveMainRelay(client, main, open)
        : open.target.case === "exec"
          ? serveExecRelay({ client, box: sandbox.box, environment, workdir: WORKDIR }, open)
          : entrance.relay(open),
    connected: (sessionId) => {
      push.connected = true;
      endpoints.session = sessionId;
      readiness.session = sessionId;
      void readiness.report();
      advisor.nudge();
      emit({
        kind: "lifecycle",
        activity: "ready",
        time: Date.now(),
        severity: "informational",
        message: `session ${sessionId} with the gateway`,
      });
    },
    disconnected: (reason) => {
      renew();
      push.connected = false;
      endpoints.session = undefined;
      readiness.session = undefined;
      emit({ kind: "lifecycle", activity: "stop", time: Date.now(), severity: "low", message: `session with the gateway lost: ${reason}` });
    },
  });
  const looking = setInterval(() => madeReporter.look(), LOOK_INTERVAL);
  const running = session.run();
  keeper.start();
  advisor.start();
  try {
    void main?.exited.then(() => madeReporter.look());
    const mainProcess = runMainProcess(spec, main, client, stop);
    return await Promise.race([
      stop.then((name) => ({ exitCode: 0, reason: `stopped by ${name}`, signal: name })),
      sandbox.box.ended.then(() => ({ exitCode: 1, reason: "the box ended: its init was killed" })),
      mainProcess.then((exitCode) => (spec.keep ? new Promise<never>(() => {}) : { exitCode, reason: "MainProcessExited" })),
    ]);
  } finally {
    clearInterval(looking);
    advisor.stop();
    endpoints.stop();
    keeper.stop();
    token.stop();
    // Before the last look: from here on nothing is made.
    await sandbox[Symbol.asyncDispose]();
    await madeReporter.finish();
    await push.finish();
    session.stop();
    await running;
    log.flush();
  }
}

/**
 * Runs the main process, if there is one, and tells the gateway how it ended. Nothing is told of one that ends because this supervisor was told
 * to: a sandbox that a shutdown or a starting gateway ends did not fail.
 */
async function runMainProcess(
  spec: SupervisorSpec,
  main: MainProcess | undefined,
  client: GatewayClient,
  stop: Promise<string>,
): Promise<number> {
  if (main === undefined) return new Promise<never>(() => {});
  const running = main.run();
  const exitCode = await main.exited;
  const patience = exitCode > SIGNALLED ? SHUTDOWN_TIME : 0;
  if (await Promise.race([stop.then(() => true), Bun.sleep(patience).then(() => false)])) return exitCode;
  await untilDelivered(() => client.reportMainProcessExit({ sandboxId: spec.sandboxId, instanceId: spec.instanceId, exitCode }));
  await running;
  await main.seen();
  return exitCode;
}

/** Exit codes above are of programs that a signal ended. */
const SIGNALLED = 128;

/** A machine that is shut down tells all its processes to end, and a program may be quicker than its supervisor. Milliseconds. */
const SHUTDOWN_TIME = 250;

/** Milliseconds between attempts to tell the gateway something that it must learn. */
const DELIVERY_INTERVAL = 2000;

async function untilDelivered(attempt: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await attempt();
      return;
    } catch {
      await Bun.sleep(DELIVERY_INTERVAL);
    }
  }
}

/** The port of the endpoint, also when it is the usual one of its scheme. */
function gatewayPort(endpoint: string): number {
  const { port, protocol } = new URL(endpoint);
  return Number(port || (protocol === "http:" ? 80 : 443));
}

/** The gateway's address when its endpoint is a literal; a loopback gateway is out of reach anyway. */
function gatewayAddresses(endpoint: string): string[] {
  const host = new URL(endpoint).hostname.replace(/^\[|\]$/g, "");
  return isIP(host) === 0 ? [] : [host];
}
