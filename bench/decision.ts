/** What one policy decision costs, by the size of the policy: never asked before, and asked before. In this process, on the engine alone. */
import { PolicyEngine } from "../src/engine/policy-engine.ts";
import { parsePolicyYaml } from "../src/policy/yaml.ts";
import { report, summarise } from "./statistics.ts";

const SIZES = [10, 200, 1000] as const;
const COLD = 2000;
const CACHED = 200_000;

function policy(endpoints: number): string {
  const rules = Array.from(
    { length: endpoints },
    (_, index) => `  rule_${index}:
    endpoints: [{ host: ${index % 5 === 0 ? `"*.zone-${index}.example.com"` : `host-${index}.example.com`}, port: 443 }]
    binaries: [{ path: /usr/bin/program-${index % 20} }, { path: "/usr/lib/tool-${index % 7}/**" }]
`,
  );
  return `version: 1\nnetwork_policies:\n${rules.join("")}`;
}

export function benchDecision(): void {
  for (const size of SIZES) {
    const engine = new PolicyEngine();
    const started = performance.now();
    engine.load(parsePolicyYaml(policy(size), { source: "bench" }));
    const load = performance.now() - started;
    // Every question differs in a parent process, so that none is answered from memory; half of them are allowed.
    const ask = (index: number) => {
      const rule = (index * 7) % size;
      const host = rule % 5 === 0 ? `api.zone-${rule}.example.com` : `host-${rule}.example.com`;
      return { host, port: 443, exe: `/usr/bin/program-${(rule + (index % 2)) % 20}`, ancestors: ["/usr/bin/bash", `/opt/agent-${index}`] };
    };
    for (let i = 0; i < 500; i++) engine.decide(ask(-i - 1 + size * 1000));
    const cold: number[] = [];
    for (let i = 0; i < COLD; i++) {
      const query = ask(i);
      const from = Bun.nanoseconds();
      engine.decide(query);
      cold.push((Bun.nanoseconds() - from) / 1000);
    }
    const query = ask(1);
    engine.decide(query);
    const from = Bun.nanoseconds();
    for (let i = 0; i < CACHED; i++) engine.decide(query);
    const cached = (Bun.nanoseconds() - from) / 1000 / CACHED;
    const { p50, p99 } = summarise(cold);
    report(
      `decision at ${size} endpoints`,
      `cold p50 ${p50.toFixed(1)} µs, p99 ${p99.toFixed(1)} µs; cached ${cached.toFixed(2)} µs; load ${load.toFixed(0)} ms`,
    );
  }
}
