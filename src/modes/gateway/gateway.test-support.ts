import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AsyncQueue } from "../../rpc/async-queue.ts";
import type { SandboxConfigSnapshot } from "../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import {
  ConfigApplyOutcome,
  ConfigurationAdmissionState,
  CreateSandboxRequestSchema,
  type ExecSandboxRequest,
  type GatewayMessage,
  OpenShell,
  type RelayFrame,
  RelayFrameSchema,
  type SupervisorMessage,
  SupervisorMessageSchema,
} from "../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { SupervisorSpec } from "../../supervisor-spec.ts";
import type { GatewayOptions } from "./options.ts";
import { type Gateway, serveGateway } from "./serve.ts";

export const workspaceScope = { selection: { case: "workspace", value: "default" } } as const;

/** A gateway of its own directories on real TLS sockets, with supervisors that are idle processes. */
export interface TestGateway extends AsyncDisposable {
  readonly directory: string;
  readonly gateway: Gateway;
  readonly user: Client<typeof OpenShell>;
  as(credential: Credential): Client<typeof OpenShell>;
  transport(credential: Credential): Transport;
  /** The spec that the driver wrote for a sandbox. */
  spec(id: string): Promise<SupervisorSpec>;
  token(id: string): Promise<string>;
}

export type Credential = { readonly certificate?: boolean; readonly bearer?: string };

/** Stands where the supervisor would: does nothing, ends on SIGTERM, and keeps its arguments for all to see. */
export const IDLE_SUPERVISOR = ["/bin/sh", "-c", "while :; do sleep 1; done", "supervisor"];

export async function testGateway(
  options: Partial<GatewayOptions> = {},
  reuse?: string,
  supervisorCommand: readonly string[] = IDLE_SUPERVISOR,
  clock: { now(): number } = { now: () => Date.now() },
): Promise<TestGateway> {
  const directory = reuse ?? mkdtempSync(join(tmpdir(), "gateway-"));
  const gateway = await serveGateway(
    {
      port: 0,
      stateDirectory: join(directory, "state"),
      configDirectory: join(directory, "config"),
      disableTls: false,
      uidRange: { first: 2_000_000_000, last: 2_000_000_050 },
      trustedCidrs: [],
      internalDomains: [],
      allowedMounts: [],
      logLevel: "error",
      ...options,
    },
    { supervisorCommand, clock },
  );
  const read = (path: string): Promise<string> => Bun.file(join(directory, path)).text();
  const ca = options.disableTls === true ? "" : await read("state/tls/ca.crt");
  const mtls = options.disableTls === true ? {} : { cert: await read("state/tls/client.crt"), key: await read("state/tls/client.key") };
  const transport = ({ certificate = false, bearer }: Credential): Transport => {
    const authorize: Interceptor = (next) => (request) => {
      if (bearer !== undefined) request.header.set("authorization", `Bearer ${bearer}`);
      return next(request);
    };
    return createGrpcTransport({
      baseUrl: gateway.endpoint,
      nodeOptions: ca === "" ? {} : { ca, rejectUnauthorized: true, ...(certificate ? mtls : {}) },
      interceptors: [authorize],
    });
  };
  const as = (credential: Credential): Client<typeof OpenShell> => createClient(OpenShell, transport(credential));
  const sandboxFile = (id: string, path: string): Promise<string> => read(`state/sandboxes/${id}/${path}`);
  return {
    directory,
    gateway,
    user: as({ certificate: true }),
    as,
    transport,
    spec: async (id) => JSON.parse(await sandboxFile(id, "run/spec.json")) as SupervisorSpec,
    token: (id) => sandboxFile(id, "run/token"),
    async [Symbol.asyncDispose]() {
      if (reuse === undefined) {
        for (const record of gateway.context.repository.all()) await gateway.context.sandboxes.delete(record);
      }
      await gateway.close();
      if (reuse === undefined) rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Creates a sandbox and waits until the driver has started its process. */
export async function createSandbox(
  test: TestGateway,
  request: Omit<MessageInitShape<typeof CreateSandboxRequestSchema>, "$typeName"> = {},
): Promise<{ id: string; name: string }> {
  const { sandbox } = await test.user.createSandbox(
    create(CreateSandboxRequestSchema, { workspaceScope, spec: {}, ...request } as MessageInitShape<typeof CreateSandboxRequestSchema>),
  );
  const { id = "", name = "" } = sandbox?.metadata ?? {};
  await until(() => Bun.file(join(test.directory, "state/sandboxes", id, "supervisor.json")).exists());
  return { id, name };
}

/** Turns the event loop until a condition holds; the test's own time-out is the bound. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** A supervisor that speaks the protocol and runs nothing. */
export class FakeSupervisor {
  readonly client: Client<typeof OpenShell>;
  readonly received: GatewayMessage[] = [];
  readonly #outgoing = new AsyncQueue<SupervisorMessage>();
  readonly #abort = new AbortController();
  readonly ended: Promise<void>;
  /** What to answer to each configuration. */
  accepts = true;
  exec: (
    start: ExecSandboxRequest,
    input: AsyncIterable<RelayFrame>,
  ) => AsyncIterable<MessageInitShape<typeof RelayFrameSchema>["payload"]>;

  constructor(client: Client<typeof OpenShell>, sandboxId: string, instanceId: string, exec: FakeSupervisor["exec"] = echo) {
    this.client = client;
    this.exec = exec;
    this.send({ case: "hello", value: { sandboxId, instanceId, supportsConfigPush: true } });
    this.ended = this.#run(instanceId);
  }

  send(payload: NonNullable<MessageInitShape<typeof SupervisorMessageSchema>["payload"]>): void {
    this.#outgoing.push(create(SupervisorMessageSchema, { payload }));
  }

  disconnect(): void {
    this.#abort.abort();
  }

  async #run(instanceId: string): Promise<void> {
    try {
      for await (const message of this.client.connectSupervisor(this.#outgoing, { signal: this.#abort.signal })) {
        this.received.push(message);
        const { payload } = message;
        const update =
          payload.case === "sessionAccepted" ? payload.value.bootstrap : payload.case === "configUpdate" ? payload.value : undefined;
        if (update?.sandboxConfig !== undefined && update.sandboxConfig.version > 0)
          this.#answer(update.updateId, instanceId, update.sandboxConfig);
        if (payload.case === "relayOpen" && payload.value.target.case === "exec" && payload.value.target.value.start) {
          void this.#relay(payload.value.channelId, payload.value.target.value.start);
        }
      }
    } catch {
      // The gateway ended the session, or the test did.
    }
  }

  #answer(updateId: string, instanceId: string, { version, policyHash, configRevision, providerEnvRevision }: SandboxConfigSnapshot): void {
    const error = this.accepts ? "" : "the fake refuses";
    const state = this.accepts ? ConfigurationAdmissionState.ACCEPTED : ConfigurationAdmissionState.REJECTED;
    this.send({
      case: "configUpdateResult",
      value: {
        updateId,
        outcome: this.accepts ? ConfigApplyOutcome.APPLIED : ConfigApplyOutcome.FAILED_RETAINED_LAST_KNOWN_GOOD,
        policyLoad: { version, loaded: this.accepts, error },
        admission: { instanceId, state, policyVersion: version, policyHash, configRevision, providerEnvRevision, error },
      },
    });
  }

  async #relay(channelId: string, start: ExecSandboxRequest): Promise<void> {
    const frames = new AsyncQueue<RelayFrame>();
    const push = (payload: MessageInitShape<typeof RelayFrameSchema>["payload"]): boolean =>
      frames.push(create(RelayFrameSchema, payload === undefined ? {} : { payload }));
    push({ case: "init", value: { channelId } });
    const incoming = this.client.relayStream(frames, { signal: this.#abort.signal });
    try {
      for await (const payload of this.exec(start, incoming)) push(payload);
      frames.close();
      for await (const _ of incoming);
    } catch {
      // The caller went away.
    }
  }
}

/** Writes its command and its input back, then exits with 7. */
export async function* echo(
  start: ExecSandboxRequest,
  input: AsyncIterable<RelayFrame>,
): AsyncGenerator<NonNullable<MessageInitShape<typeof RelayFrameSchema>["payload"]>> {
  const out = (data: Uint8Array) => ({ case: "execEvent", value: { payload: { case: "stdout", value: { data } } } }) as const;
  yield out(new TextEncoder().encode(`${start.command.join(" ")}\n`));
  for await (const { payload } of input) {
    if (payload.case !== "execInput" || payload.value.payload.case !== "stdin") continue;
    if (payload.value.payload.value.length === 0) break;
    yield out(payload.value.payload.value);
  }
  yield { case: "execEvent", value: { payload: { case: "exit", value: { exitCode: 7 } } } };
}
