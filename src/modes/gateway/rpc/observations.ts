import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { OpenShellError } from "../../../error.ts";
import type { Endpoint } from "../../../policy/model.ts";
import { policyFromProto } from "../../../policy/proto.ts";
import {
  type EndpointFailure,
  EndpointFailureSchema,
  type EndpointObservation,
  EndpointResult,
  type EndpointStatus,
  EndpointStatusSchema,
  type ProviderReadinessObservation,
  ProviderReadinessObservationSchema,
  ReportEndpointStatusResponseSchema,
  ReportProviderReadinessResponseSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { sandboxPrincipal } from "../auth/principal.ts";
import type { GatewayContext } from "../context.ts";
import { safeText } from "../drafts/text.ts";
import { configSnapshot } from "../policies/snapshot.ts";
import type { Session } from "../relay/sessions.ts";
import { atMost } from "../sandboxes/limits.ts";
import type { Handlers } from "./service-impl.ts";

/** Endpoints of one report; as many as a policy of the largest size could name in use. */
const MAX_OBSERVATIONS = 1000;
/** Of a text in a failure. */
const MAX_FAILURE_TEXT = 128;
/** How often a supervisor may say anew that providers are ready, and how long that counts. Milliseconds. */
const REPORT_INTERVAL_MS = 30_000;
const OBSERVATION_TTL_MS = 90_000;

/** What supervisors have seen: how their endpoints answer, and whether provider credentials are in place. */
export function observationHandlers(context: GatewayContext): Handlers {
  const { sandboxes, sessions, clock } = context;
  /** The last report of each session that lives, by what it is about; an older one that comes late says nothing new. */
  const sequences = new WeakMap<Session, Map<string, bigint>>();
  const isNew = (about: string, sandboxId: string, session: string, sequence: bigint): boolean => {
    const live = sessions.get(sandboxId);
    if (live === undefined || live.id !== session)
      throw new OpenShellError("failed_precondition", "the report is of another session than the one that is connected");
    const reports = sequences.get(live) ?? new Map<string, bigint>();
    sequences.set(live, reports);
    const before = reports.get(about);
    if (before !== undefined && sequence <= before) return false;
    reports.set(about, sequence);
    return true;
  };
  return {
    reportEndpointStatus(request, call) {
      const { sandboxId } = sandboxPrincipal(call);
      atMost("observations", request.observations.length, MAX_OBSERVATIONS, "entries");
      const record = sandboxes.get(sandboxId);
      if (record === undefined) throw new OpenShellError("not_found", "sandbox not found");
      const snapshot = configSnapshot(record, context);
      const isCurrent = snapshot.policy !== undefined && snapshot.policyHash === request.policyHash;
      // What is said of a policy that is no longer in force is about endpoints that may not be there.
      if (!isNew("endpoints", sandboxId, request.supervisorSessionId, request.reportSequence) || !isCurrent) {
        return create(ReportEndpointStatusResponseSchema);
      }
      const endpoints = endpointsOf(snapshot.policy === undefined ? {} : policyFromProto(snapshot.policy).networkPolicies);
      const known = new Map(record.status.endpointStatuses.map((status) => [status.endpointId, status]));
      const observed = new Map(request.observations.map((observation) => [observation.endpointId, observation]));
      const statuses = [...endpoints].flatMap(([id, endpoint]) => {
        const observation = observed.get(id);
        if (observation !== undefined) return [statusOf(id, endpoint, observation, clock.now())];
        const before = known.get(id);
        return before === undefined || !isAbout(before, endpoint) ? [] : [before];
      });
      context.store.derived(() => sandboxes.patchStatus(sandboxId, { endpointStatuses: statuses }));
      return create(ReportEndpointStatusResponseSchema);
    },

    /** Whether a provider is ready follows from the configuration that the supervisor has acknowledged; its report is shown beside. */
    reportProviderReadiness({ observation }, call) {
      if (observation === undefined) throw new OpenShellError("invalid_argument", "observation is required");
      const { sandboxId } = sandboxPrincipal(call);
      const session = sessions.get(sandboxId);
      if (isNew("readiness", sandboxId, observation.sessionId, observation.sequence) && session !== undefined)
        session.readiness = printableObservation(observation);
      return create(ReportProviderReadinessResponseSchema, {
        acceptedSequence: (session && sequences.get(session)?.get("readiness")) ?? 0n,
        reportInterval: durationFromMs(REPORT_INTERVAL_MS),
        observationTtl: durationFromMs(OBSERVATION_TTL_MS),
      });
    },
  };
}

/** By id, `<rule>/<index>` (decision 19). */
function endpointsOf(rules: Readonly<Record<string, { readonly endpoints: readonly Endpoint[] }>>): Map<string, Endpoint> {
  return new Map(
    Object.entries(rules).flatMap(([rule, { endpoints }]) => endpoints.map((endpoint, index) => [`${rule}/${index}`, endpoint] as const)),
  );
}

function statusOf(endpointId: string, { host, ports, path }: Endpoint, observation: EndpointObservation, now: number): EndpointStatus {
  const result = EndpointResult[observation.result] === undefined ? EndpointResult.UNSPECIFIED : observation.result;
  return create(EndpointStatusSchema, {
    ...{ endpointId, host, ports: [...ports], path, lastResult: result, lastReportedTime: timestampFromMs(now) },
    ...(observation.failure === undefined ? {} : { lastFailure: printableFailure(observation.failure) }),
  });
}

/** Whether a status was of this endpoint, and not of another that had its id in an earlier policy. */
function isAbout({ host, ports, path }: EndpointStatus, endpoint: Endpoint): boolean {
  return host === endpoint.host && path === endpoint.path && ports.join() === endpoint.ports.join();
}

function printableObservation(observation: ProviderReadinessObservation): ProviderReadinessObservation {
  const safe = (text: string) => safeText(text, MAX_FAILURE_TEXT).text;
  const { attachmentEpoch, policyHash, processInstanceId } = observation;
  return create(ProviderReadinessObservationSchema, {
    ...observation,
    ...{ attachmentEpoch: safe(attachmentEpoch), policyHash: safe(policyHash), processInstanceId: safe(processInstanceId) },
  });
}

/** Texts that came from a sandbox are shown to people. */
function printableFailure(failure: EndpointFailure): EndpointFailure {
  const safe = (text: string) => safeText(text, MAX_FAILURE_TEXT).text;
  const { code, provider, credentialKey, stage, requestId } = failure;
  return create(EndpointFailureSchema, {
    ...failure,
    ...{ code: safe(code), provider: safe(provider), credentialKey: safe(credentialKey), stage: safe(stage), requestId: safe(requestId) },
  });
}
