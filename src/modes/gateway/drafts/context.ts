import type { Database } from "bun:sqlite";
import type { Message } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import type { Policy } from "../../../policy/model.ts";
import type { WorkspaceSelector } from "../../../rpc/gen/openshell/datamodel/v1/datamodel_pb.ts";
import type { DraftPolicyUpdate } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";

/** What the draft service needs of the gateway, and nothing more; the gateway's own context fits it structurally. */
export interface DraftContext {
  readonly store: DraftStore;
  readonly policies: DraftPolicies;
  readonly sandboxes: {
    /** The sandbox that a request names; throws `invalid_argument` without a scope or name, `not_found` when there is none. */
    find(scope: WorkspaceSelector | undefined, name: string): DraftSandbox;
  };
  readonly settings: {
    /** The effective value of a setting; undefined when it was never set. */
    get(sandboxId: string, key: string): unknown;
    /** Where that value comes from; without this the status names no scope. */
    scope?(sandboxId: string, key: string): "sandbox" | "gateway" | undefined;
  };
  readonly bus: {
    /** Delivers to the watchers of a sandbox; the payload is the one of SandboxStreamEvent. */
    publish(sandboxId: string, payload: { readonly case: "draftPolicyUpdate"; readonly value: DraftPolicyUpdate }): void;
  };
  readonly sessions: {
    /** Sends the current configuration to the sandbox's supervisor, if one is connected. */
    pushConfig(sandboxId: string): void;
  };
  /** Patterns of the hosts to which credentials of the sandbox's providers may be sent; without this there are none. */
  readonly credentialedHosts?: (sandboxId: string) => readonly string[];
  readonly clock: { now(): number };
  readonly resolver: Resolver;
  /** Names and addresses under which the gateway itself can be reached, with its port; no proposal may lead there. */
  readonly ownEndpoint: { readonly hosts: readonly string[]; readonly port: number };
  /** At-most-once by `request_id`; without it every request runs. */
  readonly replay?: <O extends Message>(
    request: Message & { readonly requestId: string },
    context: HandlerContext,
    run: (remember: (answer: O) => void) => Promise<O>,
  ) => Promise<O>;
  /** The same for a change that does not wait: it and its remembered answer are one transaction. */
  readonly once?: <O extends Message>(request: Message & { readonly requestId: string }, context: HandlerContext, run: () => O) => O;
}

export interface DraftStore {
  readonly db: Database;
  /** Runs `run` in one immediate transaction; a throw rolls it back. */
  transaction<T>(run: () => T): T;
  /** Runs `fn` when what was written is durable; at once outside a transaction. */
  afterCommit(fn: () => void): void;
}

export interface PolicyRevision {
  readonly version: number;
  readonly policy: Policy;
  readonly hash: string;
}

export interface DraftPolicies {
  /** The latest revision of a sandbox; undefined before the first. */
  current(sandboxId: string): PolicyRevision | undefined;
  /** Adds a revision inside the running transaction; throws `aborted` when `expectedVersion` is not the current one. */
  commit(
    sandboxId: string,
    change: { readonly expectedVersion: number; readonly policy: Policy; readonly provenance: string },
  ): { readonly version: number; readonly hash: string };
  /** Whether a policy for all sandboxes is in force, which decides instead of a sandbox's own. */
  globalActive?(): boolean;
}

export interface DraftSandbox {
  readonly id: string;
  readonly name: string;
  /** CIDRs that the operator trusts for this sandbox, of the gateway and of the sandbox. */
  readonly trustedCidrs: readonly string[];
}

/** Looks a name up, once and absolutely; an empty answer means that the name has no address. May throw. */
export type Resolver = (host: string) => Promise<readonly string[]>;
