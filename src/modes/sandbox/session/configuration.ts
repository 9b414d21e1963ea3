import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { OpenShellError } from "../../../error.ts";
import { restrictiveDefault } from "../../../policy/defaults.ts";
import type { Policy } from "../../../policy/model.ts";
import { policyFromProto, policyToProto } from "../../../policy/proto.ts";
import type { GetSandboxConfigResponse, SandboxConfigSnapshot, SettingValue } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import {
  ConfigApplyOutcome,
  type ConfigUpdateResultSchema,
  ConfigurationAdmissionState,
  SandboxConfigurationAdmissionSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { SupervisorSpec } from "../../../supervisor-spec.ts";
import { discoverPolicy, type SourcedPolicy } from "../policy-source.ts";
import type { OneTimeRule } from "../proxy/one-time-rules.ts";
import type { GatewayClient } from "./gateway-client.ts";

/** What the gateway wants in force. */
export interface Configuration {
  readonly policy: Policy;
  /** Rules of it that hold for one request. */
  readonly oneTimeRules: readonly OneTimeRule[];
  readonly version: number;
  readonly hash: string;
  readonly revision: bigint;
  /** State of the providers whose credentials the sandbox has; 0: none. */
  readonly environmentRevision: bigint;
  /** Names the set of providers that are attached. */
  readonly attachmentEpoch: string;
  readonly settings: ReadonlyMap<string, string | boolean | bigint>;
}

/** Waiting times between attempts to fetch the first configuration. Milliseconds. */
const FIRST_FETCH_DELAYS = [250, 500, 1000, 2000, 4000];

/** A gateway that is away when its sandbox starts gets this long to come back: an upgrade, a crash and its restart. Milliseconds. */
const GATEWAY_WAIT = 5 * 60 * 1000;

/**
 * The first configuration: what the gateway has, else what the disk has, synced to the gateway and read back, so that the gateway stays
 * the authority and both sides speak of the same canonical policy.
 */
export async function firstConfiguration(
  client: GatewayClient,
  spec: SupervisorSpec,
  discover: () => SourcedPolicy = discoverPolicy,
): Promise<{ readonly configuration: Configuration; readonly notes: readonly string[] }> {
  const known = await retried(() => fetchConfiguration(client, spec));
  if (known) return { configuration: known, notes: [] };
  const { policy, source, notes } = discover();
  // Asked at once: the gateway answers one connection's questions in their order.
  const [refused, early] = await Promise.all([sync(client, spec, policy), fetchConfiguration(client, spec).catch(() => undefined)]);
  // Like a file that is unsafe here: not used, and the notes say why.
  if (refused !== undefined) {
    const again = await sync(client, spec, restrictiveDefault());
    if (again !== undefined) throw again;
  }
  const synced = early ?? (await retried(() => fetchConfiguration(client, spec)));
  if (!synced) throw new OpenShellError("internal", "the gateway has no policy for this sandbox after it was synced");
  if (refused === undefined) return { configuration: synced, notes: [`policy from ${source}`, ...notes] };
  const why = `unsafe-disk-policy: ${source} is not used: the gateway refuses it: ${refused.rawMessage}`;
  return { configuration: synced, notes: ["policy from restrictive default", ...notes, why] };
}

/** Gives the gateway the first policy; returns why it refuses this one, if it does. */
async function sync(client: GatewayClient, spec: SupervisorSpec, policy: Policy): Promise<ConnectError | undefined> {
  try {
    await retried(() => client.updateConfig({ ...scope(spec), sandbox: spec.sandboxName, policy: policyToProto(policy) }));
    return undefined;
  } catch (error) {
    if (isRefusal(error)) return error;
    throw error;
  }
}

/** What is asked is wrong; asking again would not help. */
function isRefusal(error: unknown): error is ConnectError {
  return error instanceof ConnectError && error.code === Code.InvalidArgument;
}

/** Undefined when the gateway has no policy for this sandbox yet. */
export async function fetchConfiguration(client: GatewayClient, spec: SupervisorSpec): Promise<Configuration | undefined> {
  const response = await client.getSandboxConfig({ ...scope(spec), name: spec.sandboxName });
  return response.policy === undefined ? undefined : readConfiguration(response);
}

/** What has changed since `known`; `unchanged` when only its environment may have. Undefined when the gateway has no policy. */
export async function fetchChanges(
  client: GatewayClient,
  spec: SupervisorSpec,
  known: Configuration,
): Promise<Configuration | { readonly unchanged: true; readonly environmentRevision: bigint } | undefined> {
  const response = await client.getSandboxConfig({ ...scope(spec), name: spec.sandboxName, knownRevision: known.revision });
  if (response.unchanged) return { unchanged: true, environmentRevision: response.providerEnvRevision };
  return response.policy === undefined ? undefined : readConfiguration(response);
}

/** @throws OpenShellError when the snapshot has no policy or one that this supervisor cannot understand. */
export function readConfiguration(snapshot: SandboxConfigSnapshot | GetSandboxConfigResponse): Configuration {
  if (snapshot.policy === undefined) throw new OpenShellError("failed_precondition", "the configuration has no policy");
  const settings = new Map<string, string | boolean | bigint>();
  for (const [key, setting] of Object.entries(snapshot.settings)) {
    const value = settingValue(setting.value);
    if (value !== undefined) settings.set(key, value);
  }
  return {
    policy: policyFromProto(snapshot.policy),
    oneTimeRules: snapshot.oneTimeRules.map(({ rule, grantId }) => ({ rule, grantId })),
    version: snapshot.version,
    hash: snapshot.policyHash,
    attachmentEpoch: snapshot.providerAttachmentEpoch,
    revision: snapshot.configRevision,
    environmentRevision: snapshot.providerEnvRevision,
    settings,
  };
}

/** How a pushed configuration fared; a failure keeps the last good one in force. */
export function updateResult(
  updateId: string,
  instanceId: string,
  snapshot: SandboxConfigSnapshot,
  failure?: OpenShellError,
): MessageInitShape<typeof ConfigUpdateResultSchema> {
  const { version, policyHash, configRevision, providerEnvRevision } = snapshot;
  const admission = create(SandboxConfigurationAdmissionSchema, {
    instanceId,
    state: failure ? ConfigurationAdmissionState.REJECTED : ConfigurationAdmissionState.ACCEPTED,
    policyVersion: version,
    policyHash,
    configRevision,
    providerEnvRevision,
    error: failure?.message ?? "",
  });
  return {
    updateId,
    outcome: failure ? ConfigApplyOutcome.FAILED_RETAINED_LAST_KNOWN_GOOD : ConfigApplyOutcome.APPLIED,
    admission,
    policyLoad: { version, loaded: failure === undefined, error: failure?.message ?? "" },
    ...(failure ? { failure: { code: failure.code, message: failure.message, retryable: false } } : {}),
  };
}

/** Every request names its workspace. */
export function scope(spec: SupervisorSpec) {
  return { workspaceScope: { selection: { case: "workspace" as const, value: spec.workspace } } };
}

function settingValue(setting: SettingValue | undefined): string | boolean | bigint | undefined {
  const { value } = setting ?? {};
  return value?.case === undefined || value.case === "bytesValue" ? undefined : value.value;
}

/** What a call comes to when the gateway is not there, goes away in the middle of it, or has no room on its disk. */
const AWAY = new Set([Code.Unavailable, Code.Canceled, Code.Aborted, Code.DeadlineExceeded, Code.ResourceExhausted]);

/** Tries again for as long as the gateway is away; a refusal is final, and anything else after some more tries. */
export async function retried<T>(attempt: () => Promise<T>): Promise<T> {
  const giveUp = performance.now() + GATEWAY_WAIT;
  let refusals = 0;
  for (let tries = 0; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      const away = error instanceof ConnectError && AWAY.has(error.code) && performance.now() < giveUp;
      if (isRefusal(error) || (!away && refusals++ >= FIRST_FETCH_DELAYS.length)) throw error;
      await Bun.sleep(FIRST_FETCH_DELAYS[tries] ?? FIRST_FETCH_DELAYS.at(-1) ?? 0);
    }
  }
}
