/** How much one tunnel carries, beside other proxies and no proxy at all, in the same run. */
import { join } from "node:path";
import type { Installation } from "../test/e2e/installation.ts";
import { SOURCE_PORT } from "../test/internet/topology.ts";
import { LOADGEN, TARGET } from "./connect.ts";
import type { Peer } from "./peers.ts";
import { report } from "./statistics.ts";

const SECONDS = "2";
const RUNS = 3;

export async function benchThroughput(shell: Installation, sandbox: string, peers: readonly Peer[]): Promise<void> {
  const words = (proxy: string, port: string, target: string) => [proxy, port, target, String(SOURCE_PORT), SECONDS];
  const onHost = (...args: string[]) => shell.net.runOnHost([process.execPath, join(import.meta.dir, "stream.ts"), ...args]);
  const best = async (what: string, run: () => Promise<{ exitCode: number; stdout: string; stderr: string }>): Promise<number> => {
    const values: number[] = [];
    for (let i = 0; i < RUNS; i++) {
      const { exitCode, stdout, stderr } = await run();
      if (exitCode === 0) values.push(Number(stdout) / 1e9);
      else report(what, `failed: ${stderr.trim()}`);
    }
    report(what, `${values.map((value) => value.toFixed(2)).join(" ")} GB/s`);
    return Math.max(...values);
  };
  await best("one stream: no proxy (what the two ends can do)", () => onHost(...words("", "0", TARGET)));
  const ours = await best("one tunnel: openshell", () =>
    shell.exec(sandbox, LOADGEN, "/sandbox/stream.ts", ...words("10.200.0.1", "3128", TARGET)),
  );
  for (const { name, port, target } of peers) {
    const theirs = await best(`one tunnel: ${name}`, () => onHost(...words("127.0.0.1", port, target)));
    report(`ratio openshell / ${name}`, (ours / theirs).toFixed(2));
  }
}
