import type { Policy } from "../../../policy/model.ts";
import { hostsMeet } from "../../../policy/patterns.ts";
import { validatePolicy } from "../../../policy/validate.ts";
import { type Chunk, keysOf } from "./chunk.ts";
import { isCovered } from "./covered.ts";
import { ancestorsOf, candidateOf, type Drafts, denialsOf, refinedBy } from "./drafts.ts";
import { isWritable } from "./flags.ts";
import { MAX_PENDING_CHUNKS } from "./limits.ts";
import { firstRefusal, type Refusal, refuse } from "./refusal.ts";
import { allowsWrites, isEnforced } from "./requests.ts";
import type { ChunkStatus } from "./state.ts";
import { asksMore, joined, refuseWider } from "./widening.ts";

/** How a proposal is taken: into an open chunk, or as a new one for which others step back. */
export interface Admission {
  readonly fold: Chunk | undefined;
  /** What is stored: the proposal, or it together with an open one for the same program and place. */
  readonly chunk: Chunk;
  /** Chunks that end with it: their new status and why. */
  readonly retire: readonly (readonly [Chunk, ChunkStatus, string])[];
}

/** Judges a well-formed proposal against what the gateway holds: policy, denials, earlier decisions, and room. */
export function admit(drafts: Drafts, chunk: Chunk): Admission | Refusal {
  const current = drafts.context.policies.current(chunk.sandboxId);
  if (!current) return refuse("no_policy", "the sandbox has no policy yet");
  const { policy } = current;
  const refusal = firstRefusal([
    () => refuseLineage(drafts, chunk),
    () => refuseUnseen(drafts, chunk),
    () =>
      chunk.supersedes === "" && isCovered(policy, chunk, ancestorsOf(denialsOf(drafts, chunk)))
        ? refuse("already_covered", "the policy allows this already")
        : undefined,
    () => (chunk.supersedes === "" ? refuseWider(chunk.rule, policy, (key) => drafts.repository.denial(chunk.sandboxId, key)) : undefined),
    () => refuseCredentialed(chunk, policy, drafts.context.credentialedHosts?.(chunk.sandboxId) ?? []),
    () => refuseBackedOff(drafts, chunk),
  ]);
  if (refusal) return refusal;
  const keys = keysOf(chunk.rule);
  const open = drafts.repository
    .openFor(chunk.sandboxId, chunk.stage, keys)
    .flatMap((id) => drafts.repository.chunk(chunk.sandboxId, id) ?? []);
  const holder = open[0];
  if (holder && open.length === 1 && isSubset(chunk, holder)) {
    if (!asksMore(chunk, holder) || chunk.supersedes !== "") return { fold: holder, chunk, retire: [] };
    return join(drafts, holder, chunk, policy);
  }
  // A chunk that says more replaces those it contains, unless a person already worked on one.
  if (!open.every((older) => isSubset(older, chunk) && older.viewedTime === undefined)) {
    return refuse("overlaps", `chunk ${holder?.id} is open for a part of this; propose the rest alone`);
  }
  const conflict = refuseConflict(drafts, chunk, policy);
  if (conflict) return conflict;
  return room(drafts, chunk, open, policy);
}

/** More requests of a program and place that an open chunk is about: one that names all of them takes its place. */
function join(drafts: Drafts, holder: Chunk, chunk: Chunk, policy: Policy): Admission | Refusal {
  if (holder.edited || holder.supersedes !== "" || holder.analysisMode !== chunk.analysisMode)
    return refuse("overlaps", `chunk ${holder.id} is open for this program and place; decide on it first`);
  const both = joined(holder, chunk);
  if ("code" in both) return both;
  return refuseConflict(drafts, both, policy) ?? room(drafts, both, [holder], policy);
}

function isSubset(part: Chunk, whole: Chunk): boolean {
  const held = new Set(keysOf(whole.rule).map((key) => JSON.stringify(key)));
  return keysOf(part.rule).every((key) => held.has(JSON.stringify(key)));
}

function refuseLineage(drafts: Drafts, chunk: Chunk): Refusal | undefined {
  if (chunk.supersedes === "") return undefined;
  const older = refinedBy(drafts, chunk);
  // What takes its place needs no denial of its own, so only a first proposal that lets any request through, as it was made, can be narrowed.
  const open = older?.stage === "initial" && !older.edited && !older.rule.endpoints.some(isEnforced);
  if (chunk.stage === "refined" && older && open && isSubset(chunk, older) && chunk.rule.endpoints.every(isEnforced)) return undefined;
  return refuse("unknown_supersedes", "supersedes_chunk_id names no approved chunk that this one narrows");
}

/** Only what was denied may be proposed, whoever says so (threat 22). */
function refuseUnseen(drafts: Drafts, chunk: Chunk): Refusal | undefined {
  if (chunk.supersedes !== "") return undefined;
  const unseen = keysOf(chunk.rule).find((key) => !drafts.repository.denial(chunk.sandboxId, key));
  return unseen && refuse("no_denial", `the gateway holds no denial of ${unseen.binary} to ${unseen.host}:${unseen.port}`);
}

/** Where credentials flow, "any request" would let any program use them (threat 18). */
function refuseCredentialed(chunk: Chunk, policy: Policy, credentialed: readonly string[]): Refusal | undefined {
  const held = Object.values(policy.networkPolicies)
    .flatMap((rule) => rule.endpoints)
    .filter((endpoint) => endpoint.providerCredentialed || endpoint.credentialBinding || endpoint.credentialSigning !== "");
  const meets = chunk.rule.endpoints.find(
    (endpoint) =>
      !isEnforced(endpoint) &&
      allowsWrites(endpoint) &&
      (held.some(({ host }) => host === endpoint.host) || credentialed.some((pattern) => hostsMeet(pattern, endpoint.host))),
  );
  return meets && refuse("credentialed_host", `requests to ${meets.host} carry credentials; only an enforced rule may be proposed`);
}

function refuseBackedOff(drafts: Drafts, chunk: Chunk): Refusal | undefined {
  const now = drafts.context.clock.now();
  for (const { host, port } of keysOf(chunk.rule)) {
    const backoff = drafts.repository.backoff(chunk.sandboxId, host, port);
    if (backoff && backoff.refusedUntil > now) {
      const why = backoff.reason === "" ? "" : `; the last reason: ${backoff.reason}`;
      return refuse(
        "backed_off",
        `${host}:${port} was rejected ${backoff.rejections} times, refused until ${new Date(backoff.refusedUntil).toISOString()}${why}`,
      );
    }
  }
  return undefined;
}

/** A dry run of the approval: what cannot be merged is not worth a person's time. */
function refuseConflict(drafts: Drafts, chunk: Chunk, policy: Policy): Refusal | undefined {
  const violations = validatePolicy(candidateOf(drafts, policy, chunk).policy);
  return violations.length > 0 ? refuse("conflict", violations.map(({ field, message }) => `${field}: ${message}`).join("; ")) : undefined;
}

/** Finds a place: the cap is shared fairly, so that a flood by one program never hides another's request (threat 30). */
function room(drafts: Drafts, chunk: Chunk, replaced: readonly Chunk[], policy: Policy): Admission | Refusal {
  const { repository } = drafts;
  const rejected = repository
    .withStatus(chunk.sandboxId, "rejected", chunk.stage, keysOf(chunk.rule))
    .flatMap((id) => repository.chunk(chunk.sandboxId, id) ?? []);
  const retire: (readonly [Chunk, ChunkStatus, string])[] = [
    ...replaced.map((older) => [older, "superseded", "replaced by a proposal that contains it"] as const),
    ...rejected
      .filter((older) => !asksMore(older, chunk))
      .map((older) => [older, "superseded", "a later analysis proposed it again"] as const),
  ];
  const pending = repository.pending(chunk.sandboxId).filter((other) => !replaced.some(({ id }) => id === other.id));
  if (pending.length < MAX_PENDING_CHUNKS) return { fold: undefined, chunk, retire };
  const victim = victimFor(chunk, pending, policy);
  if (!victim) {
    return refuse(
      "cap_reached",
      `${pending.length} proposals are pending, at most ${MAX_PENDING_CHUNKS} are kept; offer it again when there is room`,
    );
  }
  return { fold: undefined, chunk, retire: [...retire, [victim, "expired", "made room for another program"]] };
}

/** The oldest chunk that nobody has seen, of the program that holds most places, if it holds at least two more than the newcomer's. */
function victimFor(chunk: Chunk, pending: readonly Chunk[], policy: Policy): Chunk | undefined {
  // Programs that the agent can write count as one: it could make a new one for every place.
  const program = ({ binary }: Chunk): string => (isWritable(binary, policy) ? "writable" : binary);
  const places = Map.groupBy(pending, program);
  const own = places.get(program(chunk))?.length ?? 0;
  const greediest = [...places.values()].sort((a, b) => b.length - a.length)[0] ?? [];
  return greediest.length >= own + 2 ? greediest.find(({ viewedTime }) => viewedTime === undefined) : undefined;
}
