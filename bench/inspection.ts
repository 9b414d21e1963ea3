/** What inspection costs, beside mitmproxy and beside no proxy at all, in the same run. */
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { SandboxCa } from "../src/modes/sandbox/proxy/tls/sandbox-ca.ts";
import { BINARY, type Installation } from "../test/e2e/installation.ts";
import type { Finished } from "../test/internet/open.ts";
import { HTTP2_PORT } from "../test/internet/topology.ts";
import { LOADGEN, prepareLoad } from "./connect.ts";
import { INSPECTED } from "./inspected.ts";
import { startMitmproxy } from "./mitmproxy.ts";
import { report } from "./statistics.ts";
import { printTable, type Row } from "./table.ts";

const ADDRESS = "93.184.216.34";
/** The server that speaks HTTP/2 alone, with request rules in the policy of the benchmarks. */
export const INSPECTED_HTTP2 = "h2.example.com";
const HTTP2_ADDRESS = "142.250.74.11";
const SECONDS = "3";
const HELD = 500;

type Numbers = Readonly<Record<string, number>> & { readonly problem?: string };

/** One way from a client to the servers. */
interface Way {
  readonly name: string;
  /** Runs a load script with its arguments behind the proxy's. */
  run(script: "requests.ts" | "secure-load.ts", before: readonly string[], after: readonly string[]): Promise<Numbers>;
}

export async function benchInspection(shell: Installation, sandbox: string): Promise<void> {
  await prepareLoad(shell);
  for (const directory of shell.sandboxDirectories())
    copyFileSync(join(import.meta.dir, "secure-load.ts"), join(directory, "workspace/secure-load.ts"));
  const peer = await startMitmproxy(shell);
  const onHost = (name: string, host: string, port: string, ca: string): Way => ({
    name,
    run: async (script, before, [site = "", address = "", sitePort = "", ...rest]) =>
      numbers(
        await shell.net.runOnHost([
          process.execPath,
          join(import.meta.dir, script),
          ...before,
          host,
          port,
          site,
          address,
          sitePort,
          ca,
          ...rest,
        ]),
      ),
  });
  const ways: readonly Way[] = [
    {
      name: "openshell",
      run: async (script, before, [site = "", address = "", sitePort = "", ...rest]) => {
        const ca = "/etc/openshell-tls/openshell-ca.pem";
        return numbers(
          await shell.exec(sandbox, LOADGEN, `/sandbox/${script}`, ...before, "10.200.0.1", "3128", site, address, sitePort, ca, ...rest),
        );
      },
    },
    ...(typeof peer === "string" ? [] : [onHost("mitmproxy", "127.0.0.1", peer.port, peer.caFile)]),
    onHost("no proxy", "-", "-", shell.net.caFile),
  ];
  if (typeof peer === "string") report("mitmproxy", peer);

  const site = [INSPECTED, ADDRESS, "443"];
  const rows: Row[] = [];
  const measure = async (what: string, aim: string, read: (numbers: Numbers) => string, run: (way: Way) => Promise<Numbers>) => {
    const cells: string[] = [];
    for (const way of ways) {
      const measured = await run(way);
      cells.push(measured.problem === undefined ? read(measured) : `failed: ${measured.problem}`.slice(0, 48));
    }
    rows.push([what, ...cells, aim]);
    report(what, ways.map(({ name }, index) => `${name}: ${cells[index]}`).join(", "));
  };
  const value = (name: string, unit: string, digits: number) => (measured: Numbers) =>
    `${(measured[name] ?? Number.NaN).toFixed(digits)} ${unit}${(measured["errors"] ?? 0) > 0 ? ` (${measured["errors"]} errors)` : ""}`;

  for (const connections of ["1", "16"]) {
    const results = new Map<string, Numbers>();
    const load = async (way: Way) => {
      const measured = await way.run("requests.ts", [], [...site, connections, SECONDS]);
      results.set(way.name, measured);
      return measured;
    };
    await measure(`requests/s, ${connections} kept connections`, "10 × mitmproxy, 8.4k", value("perSecond", "/s", 0), load);
    const again = async ({ name }: Way) => results.get(name) ?? {};
    const base = results.get("no proxy");
    const added = (field: string) => (measured: Numbers) => {
      const more = (measured[field] ?? Number.NaN) - (base?.[field] ?? Number.NaN);
      return `${(measured[field] ?? Number.NaN).toFixed(2)} ms (+${more.toFixed(2)})`;
    };
    await measure(`first byte p50, kept, ${connections} connections`, "+ < 1 ms", added("p50"), again);
    await measure(`first byte p50, new TLS connection, after ${connections}`, "+ < 4 ms", added("fresh"), again);
  }
  for (const inFlight of ["1", "16"])
    await measure(`TLS handshakes/s, ${inFlight} in flight`, "", value("perSecond", "/s", 0), (way) =>
      way.run("secure-load.ts", ["handshakes"], [...site, inFlight, SECONDS]),
    );
  for (const streams of ["1", "4"])
    await measure(
      `terminated throughput, ${streams} downloads`,
      "",
      (of) => `${((of["bytesPerSecond"] ?? Number.NaN) / 1e6).toFixed(0)} MB/s`,
      (way) => way.run("secure-load.ts", ["download"], [...site, streams, SECONDS]),
    );
  for (const inFlight of ["1", "32"])
    await measure(`HTTP/2 requests/s, ${inFlight} streams`, "", value("perSecond", "/s", 0), (way) =>
      way.run("secure-load.ts", ["http2"], [INSPECTED_HTTP2, HTTP2_ADDRESS, String(HTTP2_PORT), inFlight, SECONDS]),
    );
  printTable("Inspection", ["", ...ways.map(({ name }) => name), "aim"], rows);
  if (typeof peer !== "string") await peer.stop();
  benchMinting();
  await benchHeldTunnels(shell, sandbox, site);
}

/** In this process: key, certificate and TLS context of hosts that were not seen before. */
function benchMinting(): void {
  const ca = new SandboxCa();
  const count = 2000;
  const mint = (prefix: string) => {
    const started = performance.now();
    for (let i = 0; i < count; i++) ca.context(`${prefix}${i}.example`);
    return ((performance.now() - started) / count) * 1000;
  };
  mint("warm");
  report("leaf certificate: key, signature and TLS context", `${mint("host").toFixed(0)} µs`);
}

async function benchHeldTunnels(shell: Installation, sandbox: string, site: readonly string[]): Promise<void> {
  const args = (count: number) => [
    BINARY,
    ...["sandbox", "exec", "-n", sandbox, "--", LOADGEN, "/sandbox/secure-load.ts", "hold", "10.200.0.1", "3128"],
    ...[...site, "/etc/openshell-tls/openshell-ca.pem", String(count)],
  ];
  const hold = async (count: number) => {
    const program = await shell.net.spawnOnHost(args(count), { env: shell.env });
    const [, held = "0", failed = "0"] = await program.waitForOutput(/held (\d+) failed (\d+)/);
    return { program, held: Number(held), failed: Number(failed) };
  };
  const release = async ({ program }: { program: Awaited<ReturnType<Installation["net"]["spawnOnHost"]>> }) => {
    await program.closeInput();
    await program.exited;
  };
  // What is needed once for any number of tunnels is no part of one.
  await release(await hold(50));
  const before = await supervisorBytes(shell);
  const holding = await hold(HELD);
  const after = await supervisorBytes(shell);
  await release(holding);
  const each = (after - before) / holding.held / 1024;
  report(
    `${holding.held} idle inspected tunnels${holding.failed > 0 ? `, ${holding.failed} failed` : ""}`,
    `${each.toFixed(1)} KiB each (supervisor ${(before / 1e6).toFixed(0)} → ${(after / 1e6).toFixed(0)} MB)`,
  );
}

/** Private memory of all supervisors. */
async function supervisorBytes(shell: Installation): Promise<number> {
  let bytes = 0;
  for (const { pid, commandLine } of await shell.net.processes()) {
    if (!commandLine.includes("sandbox run --spec")) continue;
    const { stdout } = await shell.net.runOnHost(["/bin/cat", `/proc/${pid}/smaps_rollup`]);
    for (const [, kilobytes] of stdout.matchAll(/^Private_(?:Dirty|Clean):\s+(\d+)/gm)) bytes += Number(kilobytes) * 1024;
  }
  return bytes;
}

function numbers({ exitCode, stdout, stderr }: Finished): Numbers {
  const line = stdout.trim().split("\n").at(-1) ?? "";
  if (exitCode !== 0 || !line.startsWith("{")) return { problem: (stderr || stdout).trim().split("\n")[0] ?? "no output" } as Numbers;
  const { firstError, ...measured } = JSON.parse(line) as Record<string, number> & { firstError?: string };
  const failed = measured["perSecond"] === undefined && measured["bytesPerSecond"] === undefined && firstError;
  return (failed ? { problem: firstError } : measured) as Numbers;
}
