import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { OpenShellError } from "../../../error.ts";
import { PolicyStatus, type SandboxPolicyRevision, SandboxPolicyRevisionSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { GatewayContext } from "../context.ts";
import { decodePolicy } from "../policies/service.ts";
import type { GlobalPolicyRecord } from "../store/global-policies.ts";
import type { PolicyRevisionRecord, RevisionStatus } from "../store/policy-revisions.ts";
import { MAX_PAGE_BYTES, pageSize, pageToken, readPageToken } from "./paging.ts";
import type { Handlers } from "./service-impl.ts";

const STATUS: Record<RevisionStatus, PolicyStatus> = {
  pending: PolicyStatus.PENDING,
  loaded: PolicyStatus.LOADED,
  failed: PolicyStatus.FAILED,
  superseded: PolicyStatus.SUPERSEDED,
};

/** What became of each revision of a policy. */
export function policyHandlers({ sandboxes, policies, globalPolicy }: GatewayContext): Handlers {
  return {
    getSandboxPolicyStatus(request) {
      if (request.global) {
        const found = request.version === 0 ? globalPolicy.record() : globalPolicy.get(request.version);
        if (found === undefined) throw new OpenShellError("not_found", noGlobalRevision(request.version));
        return { revision: toGlobalRevision(found), activeVersion: globalPolicy.record()?.version ?? 0 };
      }
      const { id, record } = sandboxes.find(request.workspaceScope, request.sandbox);
      const revision = request.version === 0 ? policies.latest(id) : policies.get(id, request.version);
      if (revision === undefined) {
        throw new OpenShellError(
          "not_found",
          request.version === 0 ? "the sandbox has no policy yet" : `there is no policy version ${request.version}`,
        );
      }
      return { revision: toRevision(revision), activeVersion: record.status.currentPolicyVersion };
    },
    listSandboxPolicies(request) {
      const id = request.global ? "global" : sandboxes.find(request.workspaceScope, request.sandbox).id;
      const size = pageSize(request.pageSize);
      const parameters = [id, String(size)];
      const before = Number(readPageToken(request.pageToken, parameters)?.[0] ?? Number.MAX_SAFE_INTEGER);
      const found = request.global
        ? globalPolicy.list(before, size + 1).map(toGlobalRevision)
        : policies.list(id, before, size + 1).map(toRevision);
      const page: SandboxPolicyRevision[] = [];
      let bytes = 0;
      for (const revision of found) {
        bytes += toBinary(SandboxPolicyRevisionSchema, revision).length;
        if (page.length === size || (page.length > 0 && bytes > MAX_PAGE_BYTES)) break;
        page.push(revision);
      }
      const last = page.at(-1);
      const more = page.length < found.length && last !== undefined;
      return { revisions: page, nextPageToken: more ? pageToken([String(last.version)], parameters) : "" };
    },
  };
}

function toRevision(record: PolicyRevisionRecord): SandboxPolicyRevision {
  return create(SandboxPolicyRevisionSchema, {
    version: record.version,
    policyHash: record.hash,
    status: STATUS[record.status],
    loadError: record.loadError,
    createdTime: timestampFromMs(record.createdAt),
    ...(record.loadedAt === undefined ? {} : { loadedTime: timestampFromMs(record.loadedAt) }),
    policy: decodePolicy(record),
    provenance: { ...record.provenance },
  });
}

/** In force where a supervisor is connected; every other one was replaced or deleted. */
function toGlobalRevision(record: GlobalPolicyRecord): SandboxPolicyRevision {
  return create(SandboxPolicyRevisionSchema, {
    version: record.version,
    policyHash: record.hash,
    status: record.deletedAt === undefined ? PolicyStatus.LOADED : PolicyStatus.SUPERSEDED,
    createdTime: timestampFromMs(record.createdAt),
    policy: decodePolicy(record),
    provenance: { ...record.provenance },
  });
}

function noGlobalRevision(version: number): string {
  return version === 0 ? "there is no global policy" : `there is no global policy version ${version}`;
}
