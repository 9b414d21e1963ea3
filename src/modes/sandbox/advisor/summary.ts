import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { clip, escapeText } from "../../../events/escape.ts";
import { MAX_COMMAND_LINE } from "../../../events/sanitise.ts";
import { type DenialSummary, DenialSummarySchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { Emission } from "./aggregator.ts";

/**
 * One reported key as the gateway takes it. Host and binary stay exact; the gateway escapes what it shows. `clockShift`: milliseconds by which
 * the time of day is ahead of the entry's times.
 */
export function summaryOf(
  { entry, count, suppressed, persistent }: Emission,
  resolvedIps: readonly string[],
  clockShift = 0,
): DenialSummary {
  return create(DenialSummarySchema, {
    id: entry.id,
    host: entry.host,
    port: entry.port,
    binary: entry.binary,
    ancestors: [...entry.ancestors],
    denyReason: clip(escapeText(entry.reason), MAX_COMMAND_LINE),
    firstSeenTime: timestampFromMs(Math.round(entry.firstSeen + clockShift)),
    lastSeenTime: timestampFromMs(Math.round(entry.lastSeen + clockShift)),
    count,
    suppressedCount: suppressed,
    totalCount: entry.total,
    sampleCmdlines: [...entry.commandLines],
    binarySha256: entry.sha256,
    persistent,
    denialStage: wireStage(entry.stage),
    stages: [...entry.stages].map(wireStage),
    l7RequestSamples: [...entry.samples.values()].map(({ method, path, decision, count: times }) => ({
      method,
      path,
      decision,
      count: times,
    })),
    l7InspectionActive: entry.samples.size > 0,
    resolvedIps: [...resolvedIps],
  });
}

/** Both ways to ask for a connection are one stage to the gateway. */
function wireStage(stage: string): string {
  return stage === "connect" || stage === "forward" ? "l4_deny" : stage;
}
