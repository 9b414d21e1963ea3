import type { Endpoint } from "../policy/model.ts";
import { isInspected } from "../policy/validate-rules.ts";
import type { Decision, Inspection } from "./decision.ts";

/**
 * What a relay has to do with an allowed connection. Where endpoints disagree, which validation leaves possible only through parent processes, the
 * closer look wins.
 */
export function inspectionOf({ endpoints }: Extract<Decision, { allowed: true }>): Inspection {
  const settings = endpoints.map(({ endpoint }) => endpoint);
  const inspected = settings.filter(({ protocol }) => isInspected(protocol));
  const skipping = settings.some(skips) && inspected.every(skips);
  return {
    inspected: inspected.length > 0,
    protocols: [...new Set(settings.map(({ protocol }) => protocol).filter((protocol) => protocol !== ""))].sort(),
    tls: skipping ? "skip" : "terminate",
    opaque: inspected.some(({ enforcement }) => enforcement === "enforce") ? "refuse" : inspected.length > 0 ? "audit" : "relay",
  };
}

const skips = ({ tls }: Endpoint) => tls === "skip";
