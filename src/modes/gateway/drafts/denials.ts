import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { DenialSummary, L7RequestSample } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { parseAddress } from "./address.ts";
import type { Denial, RequestSample } from "./chunk.ts";
import {
  BURST_MS,
  MAX_BINARY_LENGTH,
  MAX_HOST_LENGTH,
  MAX_METHOD_LENGTH,
  MAX_REQUESTS_PER_DENIAL,
  MAX_SAMPLE_LENGTH,
  MAX_SAMPLES,
} from "./limits.ts";
import { safeText } from "./text.ts";

/** Resolved addresses kept per denial; a name with more is a large service, and the first ones tell enough. */
const MAX_ADDRESSES = 16;

/** Stages are a handful of words; more is not ours. */
const MAX_STAGES = 8;

/**
 * Joins a summary from a sandbox with what is held for its key. Times are clamped to the gateway's clock, texts escaped and cut,
 * counts never shrink. Undefined for a summary that names no port.
 */
export function mergeDenial(before: Denial | undefined, summary: DenialSummary, now: number): Denial | undefined {
  if (summary.port < 1 || summary.port > 65_535) return undefined;
  const host = safeText(summary.host.toLowerCase().replace(/\.$/, ""), MAX_HOST_LENGTH);
  const binary = safeText(summary.binary, MAX_BINARY_LENGTH);
  const lists = [summary.ancestors, summary.sampleCmdlines].map((list) =>
    list.slice(0, MAX_SAMPLES).map((text) => safeText(text, MAX_SAMPLE_LENGTH)),
  );
  const [ancestors = [], commandLines = []] = lists;
  const samples = summary.l7RequestSamples.slice(0, MAX_REQUESTS_PER_DENIAL).map(readSample);
  const reason = safeText(summary.denyReason, MAX_SAMPLE_LENGTH);
  const lastSeen = Math.min(now, summary.lastSeenTime ? timestampMs(summary.lastSeenTime) : now);
  const firstSeen = Math.min(lastSeen, summary.firstSeenTime ? timestampMs(summary.firstSeenTime) : lastSeen);
  const continues = before !== undefined && firstSeen - before.lastSeen <= BURST_MS;
  const lasted = lastSeen - Math.max(firstSeen, before?.lastSeen ?? 0) > BURST_MS;
  const stages = [summary.denialStage, ...summary.stages].map((stage) => safeText(stage, 32).text).filter((stage) => stage !== "");
  return {
    host: host.text,
    port: summary.port,
    binary: binary.text,
    id: before?.id || safeText(summary.id, 64).text,
    reason: reason.text || (before?.reason ?? ""),
    stages: [...new Set([...(before?.stages ?? []), ...stages])].slice(0, MAX_STAGES),
    ancestors: ancestors.length > 0 ? ancestors.map(({ text }) => text) : (before?.ancestors ?? []),
    commandLines: [...new Set([...(before?.commandLines ?? []), ...commandLines.map(({ text }) => text)])].slice(0, MAX_SAMPLES),
    resolvedIps: addresses(summary.resolvedIps, before),
    escaped: before?.escaped || [host, binary, reason, ...ancestors, ...commandLines, ...samples].some(({ escaped }) => escaped),
    requests: mergeSamples(
      before?.requests ?? [],
      samples.map(({ sample }) => sample),
    ),
    totalCount: total(before, summary),
    bursts:
      Math.max(1, before?.bursts ?? 0) + Number(before !== undefined && !continues) + Number(lasted || (summary.persistent && !before)),
    firstSeen: Math.min(before?.firstSeen ?? firstSeen, firstSeen),
    lastSeen: Math.max(before?.lastSeen ?? lastSeen, lastSeen),
  };
}

function readSample({ method, path, decision, count }: L7RequestSample): { sample: RequestSample; escaped: boolean } {
  const [verb, place] = [safeText(method, MAX_METHOD_LENGTH), safeText(path, MAX_SAMPLE_LENGTH)];
  const sample = { method: verb.text, path: place.text, decision: decision === "audit" ? "audit" : "deny", count: Math.max(1, count) };
  return { sample, escaped: verb.escaped || place.escaped };
}

/** The sandbox counts from its own start; the larger number is nearer to the truth. Of too many the oldest go. */
function mergeSamples(before: readonly RequestSample[], added: readonly RequestSample[]): RequestSample[] {
  const merged = new Map(before.map((sample) => [JSON.stringify([sample.method, sample.path, sample.decision]), sample]));
  for (const sample of added) {
    const key = JSON.stringify([sample.method, sample.path, sample.decision]);
    const known = merged.get(key);
    merged.delete(key);
    merged.set(key, known === undefined ? sample : { ...sample, count: Math.max(known.count, sample.count) });
  }
  return [...merged.values()].slice(-MAX_REQUESTS_PER_DENIAL);
}

/** The newest answer wins; texts that are no addresses are dropped. */
function addresses(answer: readonly string[], before: Denial | undefined): readonly string[] {
  const valid = answer.filter((text) => parseAddress(text)).slice(0, MAX_ADDRESSES);
  return valid.length > 0 ? valid : (before?.resolvedIps ?? []);
}

/** The sandbox counts from its own start; after a restart its total is smaller than ours, and then only its new hits count. */
function total(before: Denial | undefined, summary: DenialSummary): number {
  const reported = Math.max(1, summary.totalCount, summary.count);
  if (!before) return reported;
  return reported >= before.totalCount ? reported : before.totalCount + summary.count;
}
