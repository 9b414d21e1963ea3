import { OpenShellError } from "../../../error.ts";

export type ChunkStatus = "pending" | "approved" | "rejected" | "expired" | "superseded";

/** Every legal transition; what is not listed is refused (advisor.md, "Chunks"). */
export const transitions: Readonly<Record<ChunkStatus, readonly ChunkStatus[]>> = {
  pending: ["approved", "rejected", "expired", "superseded"],
  // An approval for one request or one session ends by itself.
  approved: ["superseded", "pending", "expired"],
  rejected: ["superseded", "pending"],
  expired: [],
  superseded: [],
};

/** What a person can do with a chunk, with the one state that each starts from. */
export const actions = {
  approve: { from: "pending", to: "approved" },
  reject: { from: "pending", to: "rejected" },
  edit: { from: "pending", to: "pending" },
  undo: { from: "approved", to: "pending" },
  retry: { from: "rejected", to: "pending" },
} as const satisfies Record<string, { from: ChunkStatus; to: ChunkStatus }>;

export type Action = keyof typeof actions;

const instead: Readonly<Record<ChunkStatus, string>> = {
  pending: "approve, reject or edit it",
  approved: "undo it first",
  rejected: "retry it first",
  expired: "run the program again: a new denial makes a new proposal",
  superseded: "look at the proposals that are pending now",
};

/** Throws `failed_precondition` naming both states unless the chunk is where the action starts. */
export function requireState(chunk: { readonly id: string; readonly status: ChunkStatus }, action: Action): void {
  const { from } = actions[action];
  if (chunk.status === from) return;
  throw new OpenShellError(
    "failed_precondition",
    `cannot ${action} chunk ${chunk.id}: its status is '${chunk.status}', expected '${from}'`,
    {
      next: instead[chunk.status],
    },
  );
}

/** Whether one status may follow another. */
export function mayFollow(before: ChunkStatus, after: ChunkStatus): boolean {
  return transitions[before].includes(after);
}
