/** Summaries of small samples. With fewer than 100 values the 99th percentile is the largest, and is called so. */
export interface Summary {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
}

export function summarise(values: readonly number[]): Summary {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99) };
}

export function milliseconds(summary: Summary): string {
  const tail = summary.count < 100 ? "max" : "p99";
  return `p50 ${summary.p50.toFixed(1)} ms, ${tail} ${summary.p99.toFixed(1)} ms (${summary.count} samples)`;
}

/** Prints a result as soon as it is there. */
export function report(what: string, value: string): void {
  console.log(`${what.padEnd(64)} ${value}`);
}
