import type { Chunk } from "./chunk.ts";
import { keysOf } from "./chunk.ts";
import { inCatalogue, isInterpreter, isTransferTool } from "./known.ts";

const LOWEST = 0.05;
const HIGHEST = 0.95;

/**
 * How likely a proposal is what the person wants, 0.05 to 0.95 (numbers: advisor.md, "Confidence, notes"). For fixed rules it is
 * computed here from facts the gateway holds; what a model or an agent says is only clamped, and an agent's word counts as a guess.
 */
export function confidence(chunk: Chunk, stages: readonly string[]): number {
  if (chunk.analysisMode === "model") return clamp(chunk.offeredConfidence);
  const keys = keysOf(chunk.rule);
  let value = 0.5;
  if (chunk.hitCount >= 10) value += 0.2;
  else if (chunk.hitCount >= 3) value += 0.1;
  if (keys.length > 0 && keys.every(({ binary, port }) => inCatalogue(binary, port))) value += 0.15;
  if (stages.includes("ssrf")) value -= 0.2;
  if (keys.some(({ binary }) => isInterpreter(binary) || isTransferTool(binary))) value -= 0.1;
  return clamp(chunk.analysisMode === "agent_authored" ? Math.min(value, 0.5) : value);
}

function clamp(value: number): number {
  if (!Number.isFinite(value)) return LOWEST;
  // Two places: the sum of tenths is not exact in binary.
  return Math.round(Math.min(HIGHEST, Math.max(LOWEST, value)) * 100) / 100;
}
