import { nearest } from "./nearest.ts";
import { usageError } from "./usage-error.ts";

/** A whole decimal number within bounds (both included); the error names the bounds. */
export function integerValue(source: string, value: string, bounds: { min: number; max: number }, path: readonly string[]): number {
  const number = /^-?\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isInteger(number) || number < bounds.min || number > bounds.max) {
    throw usageError(`'${source}' is '${value}', expected a whole number from ${bounds.min} to ${bounds.max}`, path);
  }
  return number;
}

/** One of a fixed set of words, whatever its case. */
export function enumValue(source: string, value: string, options: readonly string[], path: readonly string[]): string {
  const meant = options.find((option) => option === value) ?? options.find((option) => option.toLowerCase() === value.toLowerCase());
  if (meant !== undefined) return meant;
  const guess = nearest(value, options);
  throw usageError(
    `'${source}' is '${value}', expected one of ${options.join(", ")}`,
    path,
    guess === undefined ? undefined : `did you mean '${guess}'?`,
  );
}

/** Milliseconds per unit of a length of time. */
const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90s`, `5m`, `2h`, `1d`, or seconds without a unit, in milliseconds. */
export function durationValue(source: string, value: string, path: readonly string[]): number {
  const match = /^(\d{1,9})([smhd]?)$/.exec(value);
  const unit = UNITS[match?.[2] || "s"];
  if (match === null || unit === undefined) {
    throw usageError(`'${source}' is '${value}', expected a length of time such as 90s, 5m, 2h or 1d`, path);
  }
  return Number(match[1]) * unit;
}

/** `KEY=VALUE` words as a record; the first `=` divides, and a key given twice is an error. */
export function pairsValue(source: string, words: readonly string[], path: readonly string[]): Record<string, string> {
  const pairs: Record<string, string> = {};
  for (const word of words) {
    const at = word.indexOf("=");
    if (at < 1) throw usageError(`'${source}' is '${word}', expected KEY=VALUE`, path);
    const key = word.slice(0, at);
    if (Object.hasOwn(pairs, key)) throw usageError(`'${source}' names '${key}' twice`, path);
    pairs[key] = word.slice(at + 1);
  }
  return pairs;
}
