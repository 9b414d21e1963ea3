/** CONNECT set-ups per second, beside tinyproxy in the same run: same load generator, same upstream, same machine. */
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Installation } from "../test/e2e/installation.ts";
import type { Finished } from "../test/internet/open.ts";
import { report } from "./statistics.ts";

const IN_FLIGHT = "16";
/** Short, so that closed connections do not use up the local ports of one address pair. */
const SECONDS = "2";
const RUNS = 3;

/** Each side has its own upstream address, for the same reason. */
export const TARGETS = { ours: "93.184.216.34", tinyproxy: "93.184.216.35" } as const;
export const TARGET_PORT = 7;
/** The load generator inside the sandbox: a copy of the runtime, so that the policy can name it. */
export const LOADGEN = "/sandbox/loadgen";

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

/** Finds or installs tinyproxy; the reason when that cannot be. */
function obtainTinyproxy(): string | undefined {
  if (Bun.which("tinyproxy") !== null) return undefined;
  if (Bun.which("apt-get") === null) return "tinyproxy is not installed and there is no apt-get";
  const { exitCode } = Bun.spawnSync({
    cmd: ["apt-get", "install", "-y", "--no-install-recommends", "tinyproxy-bin"],
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  return exitCode === 0 ? undefined : "tinyproxy is not installed and 'apt-get install tinyproxy-bin' failed";
}

async function startTinyproxy(shell: Installation) {
  const configuration = join(shell.directory, "tinyproxy.conf");
  writeFileSync(configuration, "Port 8888\nListen 127.0.0.1\nTimeout 600\nMaxClients 512\nLogLevel Error\n");
  const proxy = await shell.net.spawnOnHost(["tinyproxy", "-d", "-c", configuration]);
  const up = await shell.net.runOnHost([
    "/bin/sh",
    "-c",
    "for i in $(seq 100); do grep -q ':22B8 ' /proc/net/tcp && exit 0; sleep 0.05; done; exit 1",
  ]);
  if (up.exitCode !== 0) throw new Error(`tinyproxy did not start: ${proxy.stdout}${proxy.stderr}`);
  return proxy;
}

export async function benchConnect(shell: Installation, sandbox: string): Promise<void> {
  const script = join(import.meta.dir, "loadgen.ts");
  for (const directory of shell.sandboxDirectories()) {
    copyFileSync(process.execPath, join(directory, "workspace/loadgen"));
    copyFileSync(script, join(directory, "workspace/loadgen.ts"));
  }
  await shell.net.runOnHost([
    "/bin/sh",
    "-c",
    "echo 1024 65535 > /proc/sys/net/ipv4/ip_local_port_range; echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse",
  ]);

  const authority = (address: string) => `${address}:${TARGET_PORT}`;
  const load = (proxy: string, port: string, target: string, inFlight: string) => [proxy, port, authority(target), inFlight, SECONDS];
  const inside = (inFlight: string) => () =>
    shell.exec(sandbox, LOADGEN, `${LOADGEN}.ts`, ...load("10.200.0.1", "3128", TARGETS.ours, inFlight));
  const ours = await measure(`CONNECT set-ups, ${IN_FLIGHT} in flight: openshell, policy and identity on`, inside(IN_FLIGHT));
  await measure("CONNECT set-ups, one at a time: openshell", inside("1"));

  const missing = obtainTinyproxy();
  if (missing !== undefined) {
    report("CONNECT set-ups: tinyproxy", missing);
    return;
  }
  const tinyproxy = await startTinyproxy(shell);
  const outside = (inFlight: string) => () =>
    shell.net.runOnHost([process.execPath, script, ...load("127.0.0.1", "8888", TARGETS.tinyproxy, inFlight)]);
  const theirs = await measure(`CONNECT set-ups, ${IN_FLIGHT} in flight: tinyproxy, no policy`, outside(IN_FLIGHT));
  await measure("CONNECT set-ups, one at a time: tinyproxy", outside("1"));
  await tinyproxy.kill();
  report("ratio openshell / tinyproxy", (ours / theirs).toFixed(2));
}
