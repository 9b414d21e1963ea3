import type { DraftContext } from "./context.ts";
import { DEFAULT_DRAFT_TTL_MS } from "./limits.ts";

export type AdvisorMode = "off" | "rules" | "model";

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of a duration as people write it: `90s`, `1h30m`. Undefined when it is not one. */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d+(ms|s|m|h|d))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+)(ms|s|m|h|d)/g)) total += Number(amount) * (units[unit ?? ""] ?? 0);
  return Number.isSafeInteger(total) ? total : undefined;
}

/** Milliseconds a pending chunk lives without a new hit (setting `draft_ttl`). */
export function draftTtl(context: Pick<DraftContext, "settings">, sandboxId: string): number {
  const value = context.settings.get(sandboxId, "draft_ttl");
  return (typeof value === "string" ? parseDuration(value) : undefined) ?? DEFAULT_DRAFT_TTL_MS;
}

/** Whether and how denials become proposals (setting `policy_advisor`); anything unknown counts as off. */
export function advisorMode(context: Pick<DraftContext, "settings">, sandboxId: string): AdvisorMode {
  const value = context.settings.get(sandboxId, "policy_advisor") ?? "rules";
  return value === "rules" || value === "model" ? value : "off";
}
