/** CONNECT set-ups per second, beside other proxies in the same run: same load generator, same upstream, same machine. */
import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import type { Installation } from "../test/e2e/installation.ts";
import type { Finished } from "../test/internet/open.ts";
import type { Peer } from "./peers.ts";
import { report } from "./statistics.ts";

const IN_FLIGHT = "16";
/** Short, so that closed connections do not use up the local ports of one address pair. */
const SECONDS = "2";
const RUNS = 3;

/** Upstream of our own proxy; the peers have theirs. */
export const TARGET = "93.184.216.34";
export const TARGET_PORT = 7;
/** The load generator inside the sandbox: a copy of the runtime, so that the policy can name it. */
export const LOADGEN = "/sandbox/loadgen";
const SCRIPTS = ["loadgen.ts", "stream.ts", "hold.ts", "requests.ts"] as const;

interface Result {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly errors: number;
  readonly firstError: string;
}

async function measure(what: string, run: () => Promise<Finished>): Promise<number> {
  const results: Result[] = [];
  for (let i = 0; i < RUNS; i++) {
    const { exitCode, stdout, stderr } = await run();
    const line = stdout.trim().split("\n").at(-1) ?? "";
    if (exitCode !== 0 || !line.startsWith("{")) {
      report(what, `failed: ${(stderr || stdout).trim().split("\n")[0]}`);
      return Number.NaN;
    }
    results.push(JSON.parse(line) as Result);
  }
  const best = results.reduce((a, b) => (b.perSecond > a.perSecond ? b : a));
  const rates = results.map(({ perSecond }) => perSecond.toFixed(0)).join(" ");
  const errors = results.reduce((sum, result) => sum + result.errors, 0);
  const trouble =
    errors > 0 ? `, ${errors} errors (${results.find(({ firstError }) => firstError !== "")?.firstError.split("\r\n")[0]})` : "";
  report(what, `${rates} /s, best run p50 ${best.p50.toFixed(2)} ms, p99 ${best.p99.toFixed(2)} ms${trouble}`);
  return best.perSecond;
}

/** Puts the load generator into every sandbox, and makes the host fit for many short connections. */
export async function prepareLoad(shell: Installation): Promise<void> {
  for (const directory of shell.sandboxDirectories()) {
    const inside = join(directory, "workspace/loadgen");
    if (!existsSync(inside)) copyFileSync(process.execPath, inside);
    for (const script of SCRIPTS) copyFileSync(join(import.meta.dir, script), join(directory, "workspace", script));
  }
  await shell.net.runOnHost([
    "/bin/sh",
    "-c",
    "echo 1024 65535 > /proc/sys/net/ipv4/ip_local_port_range; echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse",
  ]);
}

export async function benchConnect(shell: Installation, sandbox: string, peers: readonly Peer[]): Promise<void> {
  const authority = (address: string) => `${address}:${TARGET_PORT}`;
  const load = (proxy: string, port: string, target: string, inFlight: string) => [proxy, port, authority(target), inFlight, SECONDS];
  const inside = (inFlight: string) => () =>
    shell.exec(sandbox, LOADGEN, "/sandbox/loadgen.ts", ...load("10.200.0.1", "3128", TARGET, inFlight));
  const ours = await measure(`CONNECT set-ups, ${IN_FLIGHT} in flight: openshell, policy and identity on`, inside(IN_FLIGHT));
  await measure("CONNECT set-ups, one at a time: openshell", inside("1"));
  for (const { name, port, target } of peers) {
    const outside = (inFlight: string) => () =>
      shell.net.runOnHost([process.execPath, join(import.meta.dir, "loadgen.ts"), ...load("127.0.0.1", port, target, inFlight)]);
    const theirs = await measure(`CONNECT set-ups, ${IN_FLIGHT} in flight: ${name}, no policy`, outside(IN_FLIGHT));
    await measure(`CONNECT set-ups, one at a time: ${name}`, outside("1"));
    report(`ratio openshell / ${name}`, (ours / theirs).toFixed(2));
  }
}
