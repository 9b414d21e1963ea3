import { randomUUID } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { OpenShellError } from "../../error.ts";
import { storageError } from "../../storage-error.ts";
import { isUser, peerOf } from "./auth/authenticate.ts";
import { guard, requestGate } from "./auth/interceptor.ts";
import { openPki, SERVER_NAMES } from "./auth/pki.ts";
import { openTokenIssuer } from "./auth/tokens.ts";
import { Bus } from "./bus.ts";
import type { GatewayContext } from "./context.ts";
import { type Drafts, openDrafts } from "./drafts/drafts.ts";
import { sessionOver } from "./drafts/lifetime.ts";
import { DraftRepository } from "./drafts/repository.ts";
import { settleAll } from "./drafts/settle.ts";
import { localDriver } from "./drivers/local/driver.ts";
import { checkSubordinate, readSubordinate } from "./drivers/local/uids.ts";
import { writeFileAtomically } from "./files.ts";
import { pages } from "./http/health.ts";
import { listen } from "./http/server.ts";
import { routeRepository } from "./inference/repository.ts";
import { inferenceRoutes } from "./inference/service.ts";
import { openLog } from "./log.ts";
import { logService } from "./logs/service.ts";
import { gatewayMetrics } from "./metrics/metrics.ts";
import type { GatewayOptions } from "./options.ts";
import { configApplied } from "./policies/acknowledge.ts";
import { globalPolicyService } from "./policies/global.ts";
import { policyService } from "./policies/service.ts";
import { configSnapshot } from "./policies/snapshot.ts";
import { credentialedHosts } from "./providers/effective-policy.ts";
import { environmentSnapshot } from "./providers/environment.ts";
import { holdsSecrets, providerRepository } from "./providers/repository.ts";
import { providerService } from "./providers/service.ts";
import { openVault } from "./providers/vault.ts";
import { registerForMachine, registerForUser } from "./registration.ts";
import { RelayRegistry } from "./relay/relays.ts";
import { SessionRegistry } from "./relay/sessions.ts";
import { SshSessions } from "./relay/ssh-sessions.ts";
import { resolveName } from "./resolver.ts";
import { KeptOutput } from "./rpc/kept-output.ts";
import { replay } from "./rpc/replay.ts";
import { routes } from "./rpc/service.ts";
import { SandboxService } from "./sandboxes/service.ts";
import { settingsService } from "./settings/service.ts";
import { lockState } from "./state-lock.ts";
import { openStore } from "./store/database.ts";
import { globalPolicyRepository } from "./store/global-policies.ts";
import { openLogStore } from "./store/logs.ts";
import { policyRevisionRepository } from "./store/policy-revisions.ts";
import { requestIdRepository } from "./store/request-ids.ts";
import { openReserve } from "./store/reserve.ts";
import { sandboxRepository } from "./store/sandboxes.ts";
import { settingsRepository } from "./store/settings.ts";

/** How soon watchers hear that a proposal expired when nobody asks. Milliseconds. */
const SETTLE_INTERVAL = 30_000;

export interface Gateway {
  /** `https://127.0.0.1:17670` */
  readonly endpoint: string;
  readonly context: GatewayContext;
  /** Stops listening and closes the store; supervisors go on enforcing. */
  close(): Promise<void>;
}

/** Parts that a test puts in the place of the real ones. */
export interface GatewayParts {
  readonly supervisorCommand?: readonly string[];
  readonly resolver?: GatewayContext["resolver"];
  readonly clock?: GatewayContext["clock"];
}

/** Starts a gateway: state, identity, services, listeners, and then the sandboxes that ran before. */
export async function serveGateway(options: GatewayOptions, parts: GatewayParts = {}): Promise<Gateway> {
  // An ordinary user gives its sandboxes no user of their own.
  if (process.getuid?.() === 0) checkSubordinate(options.uidRange, readSubordinate());
  const log = openLog(options.logLevel);
  const clock = parts.clock ?? { now: () => Date.now() };
  const state = openState(options.stateDirectory);
  const attempt = (what: string, step: () => unknown): void => {
    try {
      step();
    } catch (error) {
      log("error", `${what} could not be written down`, error);
    }
  };
  const cleanup = new AsyncDisposableStack();
  try {
    cleanup.use(lockState(options.stateDirectory));
    const pki = options.disableTls ? undefined : await openPki(state.tls, clock.now(), bindNames(options.bindAddress));
    const store = cleanup.use(openStore(join(state.gateway, "openshell.db")));
    const logStore = cleanup.use(openLogStore(join(state.gateway, "logs.db"), clock));
    const tokens = await openTokenIssuer(state.tls, gatewayId(state.gateway), clock.now);

    const repository = sandboxRepository(store.db);
    const globalPolicy = globalPolicyService(globalPolicyRepository(store.db), clock);
    const policies = policyService(policyRevisionRepository(store.db), clock, () => globalPolicy.record() !== undefined);
    const settings = settingsService(settingsRepository(store.db));
    const vault = openVault(join(state.gateway, "provider-key"), holdsSecrets(store.db));
    const providers = providerService(providerRepository(store.db, vault), clock);
    const inference = inferenceRoutes(routeRepository(store.db), providers, clock);
    const bus = new Bus();
    const logs = logService(logStore, bus, clock);
    const sessions = new SessionRegistry();
    const relays = new RelayRegistry(sessions);
    const sshSessions = new SshSessions(clock);
    let port = options.port;
    const endpoint = (): string => `${options.disableTls ? "http" : "https"}://${dialHost(options.bindAddress)}:${port}`;
    const driver = localDriver({
      root: state.sandboxes,
      endpoint,
      caCertificate: pki?.caCertificate ?? "",
      issueToken: async (sandboxId) => (await tokens.issue(sandboxId, "supervisor")).token,
      clock,
      trustedCidrs: options.trustedCidrs,
      internalDomains: options.internalDomains,
      ...(options.upstreamCa === undefined ? {} : { upstreamCa: options.upstreamCa }),
      ...(options.upstreamProxy === undefined ? {} : { upstreamProxy: options.upstreamProxy }),
      log,
      ...(parts.supervisorCommand === undefined ? {} : { command: parts.supervisorCommand }),
    });
    cleanup.defer(() => driver.close());
    let drafts: Drafts | undefined;
    const output = new KeptOutput((sandboxId) => repository.get(sandboxId) !== undefined);
    const sandboxes = new SandboxService({
      store,
      repository,
      driver,
      bus,
      logs,
      settings,
      clock,
      log,
      trustedCidrs: options.trustedCidrs,
      reserve: openReserve(join(state.gateway, "reserve")),
      hasSession: (sandboxId) => sessions.get(sandboxId) !== undefined,
      endSession: (sandboxId) => {
        sshSessions.revokeSandbox(sandboxId);
        sessions.end(sandboxId);
      },
      instanceOver: (sandboxId) => {
        if (drafts !== undefined) sessionOver(drafts, sandboxId);
      },
      forget: (sandboxId) => {
        new DraftRepository(store.db).forget(sandboxId);
        store.afterCommit(() => output.forgetSandbox(sandboxId));
      },
    });
    cleanup.defer(() => sandboxes.close());
    const { once, later, streamed } = replay(store, requestIdRepository(store.db), clock, output, vault.digest);
    const context: GatewayContext = {
      ...{
        options,
        clock,
        log,
        store,
        repository,
        sandboxes,
        policies,
        globalPolicy,
        settings,
        providers,
        inference,
        logs,
        bus,
        sessions,
        relays,
        sshSessions,
        tokens,
        driver,
        once,
        streamed,
      },
      replay: later,
      credentialedHosts: (id) => {
        const record = sandboxes.get(id);
        return record === undefined ? [] : credentialedHosts(providers.attachedTo(record));
      },
      resolver: parts.resolver ?? resolveName,
      // The port is known once the gateway listens, and nothing asks before.
      ownEndpoint: {
        hosts: [...SERVER_NAMES, "127.0.0.1", "::1", ...bindNames(options.bindAddress)],
        get port() {
          return port;
        },
      },
    };
    sessions.attach({
      instanceOf: (id) => {
        const record = sandboxes.get(id);
        return record?.desired === "running" ? record.instanceId : undefined;
      },
      configuration: (id) => {
        const record = sandboxes.get(id);
        if (record === undefined) throw new OpenShellError("not_found", "sandbox not found");
        return {
          sandboxConfig: configSnapshot(record, context),
          providerEnvironment: environmentSnapshot(providers.attachedTo(record), record.spec.providerAttachmentEpoch),
          inferenceBundle: inference.bundle(record.workspace),
        };
      },
      connected: (session) => {
        store.derived(() => {
          sandboxes.patchStatus(session.sandboxId, { enforcement: session.hello.enforcement });
          sandboxes.apply(session.sandboxId, { kind: "connected" });
        });
        relays.replay(session);
      },
      // Told by timers and by streams that end, where nobody would catch that the store cannot be written.
      disconnected: ({ sandboxId }) =>
        attempt("a lost session", () => store.derived(() => sandboxes.apply(sandboxId, { kind: "disconnected" }))),
      configResult: (session, result, version) => store.derived(() => configApplied(context, session, result, version)),
      relayMessage: ({ sandboxId }, payload) => {
        if (payload.case === "relayOpenResult" && payload.value.success) return;
        const { channelId } = payload.value;
        relays.refused(sandboxId, channelId, payload.case === "relayOpenResult" ? payload.value.error : payload.value.reason);
      },
    });

    const opened = openDrafts(context);
    drafts = opened;
    const settling = setInterval(() => attempt("expired proposals", () => settleAll(opened)), SETTLE_INTERVAL);
    cleanup.defer(() => clearInterval(settling));

    const report = (reason: unknown): void => log("error", "internal error", reason);
    const metrics = gatewayMetrics({ repository, sessions });
    const authenticator = { verify: tokens.verify, findSandbox: (id: string) => repository.get(id) };
    const server = await listen({
      port: options.port,
      bindAddress: options.bindAddress,
      pki,
      routes: routes(context, { drafts: opened, gate: requestGate(authenticator, report), interceptor: guard(report), metrics }),
      pages: pages({ store, metrics, isUser: (request) => isUser(peerOf(request, options.disableTls)) }),
    });
    cleanup.defer(() => server.close());
    cleanup.defer(() => sessions.endAll());
    port = server.port;
    registerForUser(options.configDirectory, endpoint(), pki);
    if (options.systemDirectory !== undefined) registerForMachine(options.systemDirectory, endpoint(), pki);
    await sandboxes.recover();
    return { endpoint: endpoint(), context, close: () => cleanup.disposeAsync() };
  } catch (error) {
    await cleanup.disposeAsync();
    throw storageError(error) ?? error;
  }
}

/** The directories of the state, made for their owner alone. */
function openState(directory: string): { gateway: string; tls: string; sandboxes: string } {
  const paths = { gateway: join(directory, "gateway"), tls: join(directory, "tls"), sandboxes: join(directory, "sandboxes") };
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    requireOwn(directory);
    for (const path of Object.values(paths)) mkdirSync(path, { recursive: true, mode: 0o700 });
    chmodSync(directory, 0o700);
  } catch (error) {
    if (error instanceof OpenShellError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new OpenShellError("failed_precondition", `the state directory ${directory} cannot be used (${code ?? "unknown error"})`, {
      next: "give --state-dir a directory of your own",
      cause: error,
    });
  }
  return paths;
}

/** Whoever owns a directory can put another in the place of anything in it: keys, the store, what a supervisor is told to run. */
function requireOwn(directory: string): void {
  const { uid } = statSync(directory);
  if (uid === process.getuid?.()) return;
  throw new OpenShellError(
    "failed_precondition",
    `the state directory ${directory} belongs to uid ${uid}, who could change everything in it`,
    {
      next: "give --state-dir a directory of your own",
    },
  );
}

/** Names this gateway in its tokens, so that those of another are refused. */
function gatewayId(directory: string): string {
  const file = join(directory, "gateway-id");
  if (!existsSync(file)) writeFileAtomically(file, `${randomUUID()}\n`, 0o600);
  return readFileSync(file, "utf8").trim();
}

/** An address that is bound explicitly must be in the certificate too. */
function bindNames(address: string | undefined): string[] {
  return address === undefined || address === "0.0.0.0" || address === "::" ? [] : [address];
}

/** Where clients and supervisors of this machine reach the gateway. */
function dialHost(address: string | undefined): string {
  if (address === undefined || address === "0.0.0.0" || address === "::") return "127.0.0.1";
  return address.includes(":") ? `[${address}]` : address;
}
