import { describe, expect, test } from "bun:test";
import { Aggregator, type Emission } from "./aggregator.ts";
import type { Denial } from "./denial.ts";
import { MAX_COMMAND_LINES, MAX_KEYS, MAX_KEYS_PER_BINARY, MAX_SAMPLES } from "./limits.ts";

const base: Denial = {
  time: 0,
  host: "a.example",
  port: 443,
  protocol: "tcp",
  binary: "/usr/bin/curl",
  ancestors: ["/bin/bash"],
  sha256: "",
  commandLine: "curl https://a.example",
  reason: "no",
  code: "host_not_allowed",
  stage: "connect",
  address: "",
  decision: "deny",
};
const MINUTE = 60_000;

/** Plays a script: `at` sees events, `report` takes what is due and delivers it. */
function script() {
  const aggregator = new Aggregator();
  const see = (time: number, more: Partial<Denial> = {}) => aggregator.observe({ ...base, time, ...more });
  const report = (at: number): Emission[] => {
    const due = aggregator.due(at).map((emission) => ({ ...emission }));
    aggregator.delivered(due, aggregator.overflow, at);
    return due;
  };
  return { aggregator, see, report };
}

describe("emission", () => {
  test("a new key is due at once, then the cool-down only counts", () => {
    const { see, report } = script();
    expect(see(0)).toBe("new");
    expect(report(1000)).toMatchObject([{ count: 1, suppressed: 0, persistent: false }]);
    for (let time = 2000; time < 50_000; time += 1000) expect(see(time)).toBe("known");
    expect(report(60_999)).toEqual([]);
    expect(report(61_000)).toMatchObject([{ count: 48, suppressed: 48, entry: { total: 49 } }]);
  });

  test("after the cool-down the threshold of 3 counts", () => {
    const { see, report } = script();
    see(0);
    report(0);
    see(2 * MINUTE);
    see(2 * MINUTE);
    expect(report(2 * MINUTE)).toEqual([]);
    see(2 * MINUTE + 1);
    expect(report(2 * MINUTE + 1)).toMatchObject([{ count: 3, suppressed: 0, persistent: false }]);
  });

  test("a slow drip is reported as persistent when its oldest unreported event is five minutes old", () => {
    const { see, report } = script();
    see(0);
    report(0);
    see(2 * MINUTE);
    see(4 * MINUTE);
    expect(report(6 * MINUTE)).toEqual([]);
    expect(report(7 * MINUTE)).toMatchObject([{ count: 2, persistent: true }]);
    expect(report(60 * MINUTE)).toEqual([]);
  });

  test("a batch that could not be delivered stays due, with what came since", () => {
    const { aggregator, see } = script();
    see(0);
    const lost = aggregator.due(1000);
    expect(lost).toMatchObject([{ count: 1 }]);
    see(1500);
    const again = aggregator.due(20_000);
    expect(again).toMatchObject([{ count: 2 }]);
    see(20_001);
    aggregator.delivered(again, 0, 20_000);
    expect(aggregator.unreported).toBe(true);
    expect(aggregator.due(20_000 + MINUTE)).toEqual([]);
  });

  test("a key that the gateway had no room for is due again", () => {
    const { aggregator, see, report } = script();
    see(0);
    const [first] = report(1000);
    aggregator.offerAgain(first!);
    expect(aggregator.due(2000)).toHaveLength(1);
  });
});

describe("what is kept", () => {
  test("keys are host, port and binary; stages, addresses and command lines gather", () => {
    const { aggregator, see, report } = script();
    see(0);
    see(0, { port: 80 });
    see(0, { host: "b.example" });
    see(0, { binary: "/usr/bin/git" });
    see(5, { stage: "ssrf", address: "10.0.0.1", commandLine: "curl -u me:hunter2 x", sha256: "ff" });
    expect(aggregator.size).toBe(4);
    const [first] = report(10);
    expect(first?.entry).toMatchObject({ firstSeen: 0, lastSeen: 5, total: 2, stage: "ssrf", sha256: "ff" });
    expect([...first!.entry.stages]).toEqual(["connect", "ssrf"]);
    expect([...first!.entry.commandLines]).toEqual(["curl https://a.example", "curl -u [REDACTED] x"]);
  });

  test("command lines and samples are bounded, samples count", () => {
    const { see, report } = script();
    for (let i = 0; i < 200; i++) see(i, { commandLine: `curl ${i}`, method: "GET", path: `/${i % 60}?token=x`, stage: "l7_deny" });
    const [only] = report(1000);
    expect(only?.entry.commandLines.size).toBe(MAX_COMMAND_LINES);
    expect(only?.entry.samples.size).toBe(MAX_SAMPLES);
    expect([...only!.entry.samples.values()][0]).toMatchObject({ method: "GET", path: "/0", decision: "deny", count: 4 });
  });

  test("threat-30: a flood of one program leaves room for another, and is counted", () => {
    const { aggregator, see } = script();
    for (let i = 0; i < 5000; i++) see(0, { host: `h${i}.example`, binary: "/tmp/flood" });
    expect(aggregator.size).toBe(MAX_KEYS_PER_BINARY);
    expect(aggregator.overflow).toBe(5000 - MAX_KEYS_PER_BINARY);
    expect(see(0)).toBe("new");
  });

  test("at 1,000 keys the oldest reported one goes, an unreported one never", () => {
    const { aggregator, see } = script();
    for (let i = 0; i < MAX_KEYS; i++) see(i, { host: `h${i}.example`, binary: `/tmp/${i % 10}` });
    expect(see(5000, { host: "new.example" })).toBe("overflow");
    for (;;) {
      const due = aggregator.due(5000);
      if (due.length === 0) break;
      expect(due.length).toBeLessThanOrEqual(100);
      aggregator.delivered(due, 0, 5000);
    }
    expect(see(6000, { host: "new.example" })).toBe("overflow");
    expect(see(70_000, { host: "new.example" })).toBe("new");
    expect(aggregator.size).toBe(MAX_KEYS);
    expect(aggregator.overflow).toBe(2);
  });

  test("a report of the longest paths stays far below the gateway's message limit", () => {
    const { aggregator, see } = script();
    for (let i = 0; i < 200; i++) see(0, { binary: `/${i}${"x".repeat(4000)}`, ancestors: Array(64).fill("y".repeat(4000)) });
    expect(aggregator.due(0).length).toBeLessThan(30);
  });
});
