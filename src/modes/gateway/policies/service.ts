import { createHash } from "node:crypto";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { OpenShellError } from "../../../error.ts";
import { policyHash } from "../../../policy/hash.ts";
import type { Policy } from "../../../policy/model.ts";
import { policyFromProto, policyToProto } from "../../../policy/proto.ts";
import { type SandboxPolicy, SandboxPolicySchema } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import type { PolicyRevisionRecord, PolicyRevisionRepository } from "../store/policy-revisions.ts";

export interface PolicyRevision {
  readonly version: number;
  readonly policy: Policy;
  readonly hash: string;
}

export interface PolicyCommit {
  /** The version this change was computed from; 0 when there was none. */
  readonly expectedVersion: number;
  readonly policy: Policy;
  /** Who or what made it; a sentence, or named facts. */
  readonly provenance: string | Readonly<Record<string, string>>;
}

/** Revisions of a sandbox's policy. Every method is synchronous, so that a caller can put it into its own transaction. */
export interface PolicyService {
  /** The newest revision, loaded or not; undefined before the first. */
  current(sandboxId: string): PolicyRevision | undefined;
  /** Adds a revision. `aborted` when another came first; the same hash adds nothing and answers the current version. */
  commit(sandboxId: string, change: PolicyCommit): { readonly version: number; readonly hash: string };
  latest(sandboxId: string): PolicyRevisionRecord | undefined;
  get(sandboxId: string, version: number): PolicyRevisionRecord | undefined;
  list(sandboxId: string, before: number, limit: number): PolicyRevisionRecord[];
  /** What a supervisor says about a version. False when there is no such version. */
  acknowledge(
    sandboxId: string,
    version: number,
    result: { readonly loaded: true } | { readonly loaded: false; readonly error: string },
  ): boolean;
  /** Whether a policy for all sandboxes is in force, which decides instead of a sandbox's own. */
  globalActive(): boolean;
}

/** A load error is shown to people; longer ones are cut. */
const MAX_LOAD_ERROR = 4096;

export function policyService(
  repository: PolicyRevisionRepository,
  clock: { now(): number },
  globalActive: () => boolean = () => false,
): PolicyService {
  const remembered = new Map<string, PolicyRevision>();
  const current = (sandboxId: string): PolicyRevision | undefined => {
    const record = repository.latest(sandboxId);
    if (record === undefined) return undefined;
    const known = remembered.get(sandboxId);
    if (known?.version === record.version && known.hash === record.hash) return known;
    const revision = { version: record.version, hash: record.hash, policy: policyFromProto(decodePolicy(record)) };
    remembered.set(sandboxId, revision);
    return revision;
  };
  return {
    current,
    commit(sandboxId, { expectedVersion, policy, provenance }) {
      const latest = repository.latest(sandboxId);
      const version = latest?.version ?? 0;
      if (version !== expectedVersion) {
        throw new OpenShellError("aborted", `the policy is at version ${version}, this change was made for version ${expectedVersion}`, {
          next: "read the policy again and repeat the change",
        });
      }
      const hash = policyHash(policy);
      if (latest?.hash === hash) return { version, hash };
      repository.insert({
        sandboxId,
        version: version + 1,
        hash,
        policy: toBinary(SandboxPolicySchema, policyToProto(policy)),
        createdAt: clock.now(),
        provenance: typeof provenance === "string" ? { source: provenance } : provenance,
      });
      return { version: version + 1, hash };
    },
    latest: (sandboxId) => repository.latest(sandboxId),
    get: (sandboxId, version) => repository.get(sandboxId, version),
    list: (sandboxId, before, limit) => repository.list(sandboxId, before, limit),
    acknowledge(sandboxId, version, result) {
      if (result.loaded) return repository.markLoaded(sandboxId, version, clock.now());
      return repository.markFailed(sandboxId, version, result.error.slice(0, MAX_LOAD_ERROR));
    },
    globalActive,
  };
}

export function decodePolicy(record: Pick<PolicyRevisionRecord, "policy">): SandboxPolicy {
  return fromBinary(SandboxPolicySchema, record.policy);
}

/** One number for everything a supervisor works from, so that a poll can see that nothing changed: 8 bytes of a hash. */
export function configRevision(policy: string, settings: Readonly<Record<string, unknown>>): bigint {
  const hash = createHash("sha256").update(policy);
  for (const key of Object.keys(settings).sort()) hash.update(`\0${key}\0${JSON.stringify(settings[key], bigintAsText)}`);
  return hash.digest().readBigUInt64LE(0);
}

function bigintAsText(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}
