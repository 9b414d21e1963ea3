/** Seconds; the buckets that Prometheus' own clients begin with, and shorter ones, for most calls take less than 5 ms. */
const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

type Labels = Readonly<Record<string, string>>;

interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  lines(): string[];
}

/** Counts up, per combination of label values. Labels must have few values: each combination is kept for ever. */
export class Counter implements Metric {
  readonly type = "counter";
  readonly #values = new Map<string, number>();
  constructor(
    readonly name: string,
    readonly help: string,
  ) {}

  add(labels: Labels): void {
    const key = labelText(labels);
    this.#values.set(key, (this.#values.get(key) ?? 0) + 1);
  }

  lines(): string[] {
    return [...this.#values].map(([labels, value]) => `${this.name}${labels} ${value}`);
  }
}

/** Is read when someone asks. */
export class Gauge implements Metric {
  readonly type = "gauge";
  constructor(
    readonly name: string,
    readonly help: string,
    readonly read: () => readonly { readonly labels: Labels; readonly value: number }[],
  ) {}

  lines(): string[] {
    return this.read().map(({ labels, value }) => `${this.name}${labelText(labels)} ${value}`);
  }
}

/** Durations in seconds, per combination of label values. */
export class Histogram implements Metric {
  readonly type = "histogram";
  readonly #series = new Map<string, { readonly labels: Labels; readonly counts: number[]; sum: number; count: number }>();
  constructor(
    readonly name: string,
    readonly help: string,
  ) {}

  observe(labels: Labels, seconds: number): void {
    const key = labelText(labels);
    let series = this.#series.get(key);
    if (series === undefined) {
      series = { labels, counts: BUCKETS.map(() => 0), sum: 0, count: 0 };
      this.#series.set(key, series);
    }
    for (const [index, limit] of BUCKETS.entries()) if (seconds <= limit) series.counts[index] = (series.counts[index] ?? 0) + 1;
    series.sum += seconds;
    series.count++;
  }

  lines(): string[] {
    return [...this.#series.values()].flatMap(({ labels, counts, sum, count }) => [
      ...BUCKETS.map((limit, index) => `${this.name}_bucket${labelText({ ...labels, le: String(limit) })} ${counts[index]}`),
      `${this.name}_bucket${labelText({ ...labels, le: "+Inf" })} ${count}`,
      `${this.name}_sum${labelText(labels)} ${sum}`,
      `${this.name}_count${labelText(labels)} ${count}`,
    ]);
  }
}

/** The text exposition format, version 0.0.4. */
export function exposition(metrics: readonly Metric[]): string {
  return metrics
    .map((metric) => [`# HELP ${metric.name} ${metric.help}`, `# TYPE ${metric.name} ${metric.type}`, ...metric.lines()].join("\n"))
    .join("\n")
    .concat("\n");
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(
    ([key, value]) => `${key}="${value.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`))}"`,
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}
