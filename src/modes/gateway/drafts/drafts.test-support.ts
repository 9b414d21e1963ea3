import { Database } from "bun:sqlite";
import { create, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { type ContextValues, createContextValues, createHandlerContext, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { OpenShellError } from "../../../error.ts";
import { emptyEndpoint } from "../../../policy/defaults.ts";
import { policyHash } from "../../../policy/hash.ts";
import type { NetworkRule, Policy } from "../../../policy/model.ts";
import { WorkspaceSelectorSchema } from "../../../rpc/gen/openshell/datamodel/v1/datamodel_pb.ts";
import {
  DenialSummarySchema,
  type DraftPolicyUpdate,
  type GetDraftPolicyRequestSchema,
  OpenShell,
  type PolicyChunk,
  PolicyChunkSchema,
  type SubmitPolicyAnalysisRequestSchema,
  type SubmitPolicyAnalysisResponse,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { type Principal, principalKey } from "../auth/principal.ts";
import { storeOn } from "../store/database.ts";
import schema from "../store/migrations/010-drafts.sql" with { type: "text" };
import lifetimes from "../store/migrations/011-draft-lifetimes.sql" with { type: "text" };
import requests from "../store/migrations/012-draft-requests.sql" with { type: "text" };
import type { DraftContext, PolicyRevision } from "./context.ts";
import { type Drafts, openDrafts } from "./drafts.ts";
import { draftHandlers } from "./handlers.ts";

type Methods = typeof OpenShell.method;
type Answer<M extends keyof Methods> = MessageShape<Methods[M]["output"]>;
/** Fields of a chunk, right or wrong: a sandbox can send anything. */
type ChunkInit = Readonly<Record<string, unknown>>;

/** A draft service on a real database with a policy store of one sandbox, a clock that the test moves, and made-up names. */
export class Gateway {
  now = 1_700_000_000_000;
  readonly updates: DraftPolicyUpdate[] = [];
  readonly pushed: number[] = [];
  readonly settings = new Map<string, unknown>();
  readonly names = new Map<string, readonly string[]>();
  readonly asked: string[] = [];
  readonly credentialed: string[] = [];
  readonly revisions: PolicyRevision[] = [];
  trustedCidrs: string[] = [];
  globalPolicy = false;
  /** Runs while a look-up is under way: what someone else does meanwhile. */
  meanwhile: () => void = () => {};
  readonly db = new Database(":memory:", { strict: true });
  readonly drafts: Drafts;
  private readonly handlers: Partial<ServiceImpl<typeof OpenShell>>;

  constructor(policy: Policy = { version: 1, networkPolicies: {} }) {
    this.db.run("PRAGMA foreign_keys = ON");
    this.db.run(schema);
    this.db.run(lifetimes);
    this.db.run(requests);
    this.revisions.push({ version: 1, policy, hash: policyHash(policy) });
    const context: DraftContext = {
      store: storeOn(this.db),
      policies: {
        current: () => this.revisions.at(-1),
        commit: (_id, { expectedVersion, policy: next }) => {
          if (!this.db.inTransaction) throw new Error("a revision outside a transaction");
          if (expectedVersion !== this.version) throw new OpenShellError("aborted", "another revision came first");
          this.revisions.push({ version: this.version + 1, policy: next, hash: policyHash(next) });
          return { version: this.version, hash: policyHash(next) };
        },
        globalActive: () => this.globalPolicy,
      },
      sandboxes: {
        find: (_scope, name) => {
          if (name !== "box") throw new OpenShellError("not_found", "sandbox not found");
          return { id: "sb-1", name, trustedCidrs: this.trustedCidrs };
        },
      },
      settings: { get: (_id, key) => this.settings.get(key) },
      bus: { publish: (_id, payload) => void this.updates.push(payload.value) },
      sessions: { pushConfig: () => void this.pushed.push(this.version) },
      credentialedHosts: () => this.credentialed,
      clock: { now: () => this.now },
      resolver: async (host) => {
        this.asked.push(host);
        this.meanwhile();
        const answer = this.names.get(host);
        if (!answer) throw new Error("NXDOMAIN");
        return answer;
      },
      ownEndpoint: { hosts: ["127.0.0.1", "gw.example.test"], port: 17670 },
    };
    this.drafts = openDrafts(context);
    this.handlers = draftHandlers(context, this.drafts);
  }

  get version(): number {
    return last(this.revisions).version;
  }

  get policy(): Policy {
    return last(this.revisions).policy;
  }

  /** Replaces the policy as `policy set` would. */
  setPolicy(policy: Policy): void {
    this.revisions.push({ version: this.version + 1, policy, hash: policyHash(policy) });
  }

  /** Calls a method as the person who owns the sandbox. */
  async person<M extends keyof Methods>(method: M, request: Record<string, unknown> = {}): Promise<Answer<M>> {
    return this.call(method, request, { kind: "user", subject: "ana@laptop", provider: "mtls", operator: false });
  }

  /** Calls a method as the supervisor of the sandbox. */
  async supervisor<M extends keyof Methods>(method: M, request: Record<string, unknown> = {}): Promise<Answer<M>> {
    return this.call(method, request, { kind: "sandbox", token: "supervisor", sandboxId: "sb-1", name: "box", workspace: "default" });
  }

  async call<M extends keyof Methods>(method: M, request: Record<string, unknown>, principal: Principal): Promise<Answer<M>> {
    const descriptor = OpenShell.method[method];
    const message = create(
      descriptor.input as typeof GetDraftPolicyRequestSchema,
      { sandbox: "box", name: "box", workspaceScope: create(WorkspaceSelectorSchema), ...request } as object,
    );
    const values: ContextValues = createContextValues().set(principalKey, principal);
    const call: HandlerContext = createHandlerContext({
      service: OpenShell,
      method: descriptor,
      protocolName: "grpc",
      requestMethod: "POST",
      url: "https://gateway.test/",
      contextValues: values,
    });
    return (this.handlers[method] as unknown as (request: unknown, call: HandlerContext) => Promise<Answer<M>>)(message, call);
  }

  /** Submits chunks, far enough from the last submission to be let in. */
  async submit(
    chunks: readonly ChunkInit[],
    more: Omit<MessageInitShape<typeof SubmitPolicyAnalysisRequestSchema>, "$typeName"> = {},
  ): Promise<SubmitPolicyAnalysisResponse> {
    this.now += 5_000;
    const proposedChunks = chunks.map((chunk) => create(PolicyChunkSchema, chunk as object));
    return this.supervisor("submitPolicyAnalysis", {
      proposedChunks,
      summaries: proposedChunks.flatMap(denialsFor),
      ...more,
    });
  }

  /** Submits one chunk that must be taken, and returns its id. */
  async propose(chunk: ChunkInit, more: Parameters<Gateway["submit"]>[1] = {}): Promise<string> {
    const { results } = await this.submit([chunk], more);
    const result = first(results);
    if (result.chunkId === "") throw new Error(`refused: ${result.code} ${result.reason}`);
    return result.chunkId;
  }

  async chunk(id: string): Promise<PolicyChunk> {
    return first((await this.person("getDraftPolicy", { chunkId: id })).chunks);
  }

  async statuses(): Promise<string[]> {
    return (await this.person("getDraftPolicy")).chunks.map(({ status }) => status);
  }
}

/** A proposal of the first stage as the sandbox makes it: a plain endpoint for one program. */
export function plain(
  host: string,
  { port = 443, binary = "/usr/bin/curl", ...more }: { port?: number; binary?: string; [field: string]: unknown } = {},
): ChunkInit {
  return {
    ruleName: `allow_${host.replace(/[^A-Za-z0-9]/g, "_").slice(0, 100)}_${port}_abcdef`,
    proposedRule: { name: "x", endpoints: [{ host, port, ports: [port] }], binaries: [{ path: binary, selfOnly: true }] },
    rationale: `${binary} was denied`,
    hitCount: 1,
    ...more,
  } as ChunkInit;
}

/** A denial of one program to one place. */
export function denial(
  host: string,
  { port = 443, binary = "/usr/bin/curl", ...more }: { port?: number; binary?: string; [field: string]: unknown } = {},
) {
  return create(DenialSummarySchema, {
    host,
    port,
    binary,
    id: `d-${host}`,
    denyReason: "host not allowed",
    denialStage: "connect",
    count: 1,
    totalCount: 1,
    ...more,
  } as object);
}

/** The denials that a sandbox would report with a proposal. */
function denialsFor({ proposedRule }: PolicyChunk) {
  return (proposedRule?.endpoints ?? []).flatMap(({ host, port, ports }) =>
    (proposedRule?.binaries ?? []).flatMap(({ path: binary }) =>
      (ports.length > 0 ? ports : [port]).map((one) => denial(host, { port: one, binary })),
    ),
  );
}

/** The first of a list that must have one. */
export function first<T>(list: readonly T[]): T {
  const [item] = list;
  if (item === undefined) throw new Error("the list is empty");
  return item;
}

function last<T>(list: readonly T[]): T {
  return first(list.slice(-1));
}

/** The error of a promise that must fail. */
export async function failure(promise: Promise<unknown>): Promise<OpenShellError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof OpenShellError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

/** A rule of the policy model with plain endpoints. */
export function ruleOf(name: string, endpoints: readonly (readonly [string, number])[], binaries: readonly string[]): NetworkRule {
  return {
    name,
    endpoints: endpoints.map(([host, port]) => ({ ...emptyEndpoint, host, ports: [port] })),
    binaries: binaries.map((path) => ({ path, selfOnly: true })),
  };
}
