/** Many sandboxes at once: what each takes, and what the gateway does while they are idle. */
import { readFileSync } from "node:fs";
import { eventually } from "../test/eventually.ts";
import { GatewayHost, workspaceScope } from "../test/gateway/host.ts";
import { cpuSeconds, memoryOf } from "./process-usage.ts";
import { milliseconds, summarise } from "./statistics.ts";
import { printTable } from "./table.ts";

/** `OPENSHELL_BENCH_SANDBOXES` for machines that hold fewer. */
const SANDBOXES = Number(process.env["OPENSHELL_BENCH_SANDBOXES"] ?? 200);
const AT_ONCE = 4;
const IDLE_SECONDS = 20;

export async function benchFleet(): Promise<void> {
  await using host = await GatewayHost.open();
  await host.start();
  const alone = memoryOf(host.pid);
  const created: number[] = [];
  using connected = host.connect();
  const { client } = connected;
  let next = 0;
  const begun = performance.now();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next < SANDBOXES) {
        const name = `fleet-${next++}`;
        const started = performance.now();
        await client.createSandbox({ workspaceScope, name, spec: {} });
        await eventually(`${name} is ready`, 120_000, async () => {
          const { sandbox } = await client.getSandbox({ workspaceScope, name });
          return sandbox?.status?.conditions.some(({ type, status }) => type === "Ready" && status === "True") || undefined;
        });
        created.push(performance.now() - started);
      }
    }),
  );
  const seconds = (performance.now() - begun) / 1000;
  const supervisors = host.supervisors().map(({ pid }) => pid);
  const families = supervisors.flatMap((pid) => [pid, ...descendants(pid)]);
  const [own, all] = [total(supervisors, "own"), total(families, "own")];
  const [shareOfOne, shares] = [total(supervisors, "share"), total(families, "share")];
  const before = [host.pid, ...families].map(cpuSeconds);
  await Bun.sleep(IDLE_SECONDS * 1000);
  const after = [host.pid, ...families].map(cpuSeconds);
  const used = after.map((value, index) => ((value - (before[index] ?? 0)) / IDLE_SECONDS) * 100);
  const gateway = memoryOf(host.pid);
  const each = (bytes: number) => (bytes / supervisors.length / 1e6).toFixed(1);
  printTable(
    `${supervisors.length} live sandboxes, idle`,
    ["", "measured"],
    [
      ["created and ready", `${milliseconds(summarise(created))}, ${AT_ONCE} at once; all after ${seconds.toFixed(0)} s`],
      ["memory of each supervisor", `${each(own)} MB its own, ${each(shareOfOne)} MB with its share of what is shared`],
      [
        "memory of each sandbox, all processes",
        `${each(all)} MB their own, ${each(shares)} MB with their share (${families.length / supervisors.length} processes)`,
      ],
      ["gateway memory", `${(alone.own / 1e6).toFixed(0)} MB its own alone → ${(gateway.own / 1e6).toFixed(0)} MB`],
      [`gateway CPU over ${IDLE_SECONDS} s`, `${(used[0] ?? 0).toFixed(1)} % of one processor`],
      [
        "CPU of all sandboxes together",
        `${used
          .slice(1)
          .reduce((sum, value) => sum + value, 0)
          .toFixed(1)} % of one processor`,
      ],
    ],
  );
}

function total(pids: readonly number[], field: "own" | "share"): number {
  return pids.reduce((sum, pid) => sum + memoryOf(pid)[field], 0);
}

function descendants(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
    return children.flatMap((child) => [child, ...descendants(child)]);
  } catch {
    return [];
  }
}
