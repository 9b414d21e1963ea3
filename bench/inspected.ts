/** Requests inside TLS that is ended, decided and passed on, beside the same load straight to the same server. */
import { join } from "node:path";
import type { Installation } from "../test/e2e/installation.ts";
import type { Finished } from "../test/internet/open.ts";
import { LOADGEN } from "./connect.ts";
import { report } from "./statistics.ts";

/** The server, with request rules for the load generator in the policy of the benchmarks. */
export const INSPECTED = "api.example.com";
const ADDRESS = "93.184.216.34";
const SECONDS = "3";

interface Result {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  /** Of the connections that were all made at once, the very first of this program among them: its file is hashed. */
  readonly first: number;
  /** Of connections made one after the other. */
  readonly fresh: number;
  readonly errors: number;
}

export async function benchInspected(shell: Installation, sandbox: string): Promise<void> {
  const load = (proxy: readonly [string, string], ca: string, connections: string) => [
    ...proxy,
    INSPECTED,
    ADDRESS,
    "443",
    ca,
    connections,
    SECONDS,
  ];
  for (const connections of ["1", "16", "200"]) {
    const inside = load(["10.200.0.1", "3128"], "/etc/openshell-tls/openshell-ca.pem", connections);
    const ours = result(await shell.exec(sandbox, LOADGEN, "/sandbox/requests.ts", ...inside));
    const outside = load(["-", "-"], shell.net.caFile, connections);
    const direct = result(await shell.net.runOnHost([process.execPath, join(import.meta.dir, "requests.ts"), ...outside]));
    tell(`inspected requests, ${connections} connections`, ours);
    tell(`the same without us, ${connections} connections`, direct);
    if (typeof ours === "string" || typeof direct === "string") continue;
    const added = (ours.p50 - direct.p50).toFixed(2);
    const cold = (ours.fresh - direct.fresh).toFixed(2);
    report(`added, ${connections} connections`, `p50 ${added} ms on a kept connection, ${cold} ms to the first answer of a new one`);
  }
}

function result({ exitCode, stdout, stderr }: Finished): Result | string {
  const line = stdout.trim().split("\n").at(-1) ?? "";
  return exitCode === 0 && line.startsWith("{") ? (JSON.parse(line) as Result) : ((stderr || stdout).trim().split("\n")[0] ?? "no output");
}

function tell(what: string, measured: Result | string): void {
  if (typeof measured === "string") {
    report(what, `failed: ${measured}`);
    return;
  }
  const { perSecond, p50, p99, first, fresh, errors } = measured;
  const trouble = errors > 0 ? `, ${errors} errors` : "";
  report(
    what,
    `${perSecond.toFixed(0)} /s, p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, first answer ${fresh.toFixed(2)} ms on a new connection, ${first.toFixed(2)} ms of all at once${trouble}`,
  );
}
