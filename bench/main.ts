/** `bun run bench [PART…]`: prints what the product promises in numbers, beside a peer in the same run. Trust ratios more than absolute values;
 * where other programs run, `chrt -r 10 bun run bench` keeps most of them out of the way. */
import { cpus } from "node:os";
import { BINARY, Installation } from "../test/e2e/installation.ts";
import { allowed } from "../test/e2e/programs.ts";
import { missingForTestInternet, openTestInternet } from "../test/internet/open.ts";
import { HTTP2_PORT, SOURCE_PORT } from "../test/internet/topology.ts";
import { benchConfined } from "./confined.ts";
import { benchConnect, LOADGEN, prepareLoad, TARGET, TARGET_PORT } from "./connect.ts";
import { benchDecision } from "./decision.ts";
import { benchEnforcement } from "./enforcement.ts";
import { benchFleet } from "./fleet.ts";
import { benchGateway } from "./gateway.ts";
import { benchIdleTunnels } from "./idle-tunnels.ts";
import { benchInspected, INSPECTED } from "./inspected.ts";
import { benchInspection, INSPECTED_HTTP2 } from "./inspection.ts";
import { benchLoop } from "./loop.ts";
import { benchMemory } from "./memory.ts";
import { startPeers } from "./peers.ts";
import { benchSessions } from "./sessions.ts";
import { benchStall } from "./stall.ts";
import { benchExec, benchStart } from "./start.ts";
import { report } from "./statistics.ts";
import { benchThroughput } from "./throughput.ts";
import { benchTransfers } from "./transfers.ts";

const POLICY = `version: 1
network_policies:
  example_api:
    endpoints: [{ host: api.example.com, port: 80 }]
    binaries: [{ path: ${allowed.path} }]
  load:
    endpoints:
      - { host: ${TARGET}, ports: [${TARGET_PORT}, ${SOURCE_PORT}] }
      - { host: ${INSPECTED}, port: 443, protocol: rest, access: read-only, enforcement: enforce }
      - { host: ${INSPECTED_HTTP2}, port: ${HTTP2_PORT}, protocol: rest, access: read-only, enforcement: enforce }
    binaries: [{ path: ${LOADGEN} }]
`;

async function main(): Promise<number> {
  const missing = missingForTestInternet();
  if (missing !== undefined) {
    console.error(`Error: the benchmarks cannot run here: ${missing}`);
    return 1;
  }
  const build = Bun.spawnSync({ cmd: [process.execPath, "scripts/build.ts"], stdout: "ignore", stderr: "inherit" });
  if (build.exitCode !== 0) return build.exitCode;
  console.log(`${BINARY.split("/").slice(-2).join("/")} on ${cpus().length} × ${cpus()[0]?.model ?? "unknown processor"}\n`);

  await using net = await openTestInternet();
  await using shell = new Installation(net, "bench");
  const parts: Readonly<Record<string, () => Promise<void> | void>> = {
    start: () => benchStart(shell.policy("start", POLICY)),
    confined: () => benchConfined(),
    decision: () => benchDecision(),
    memory: () => benchMemory(shell),
    transfers: () => benchTransfers(shell),
    exec: () => benchExec(shell, "bench"),
    async proxies() {
      await prepareLoad(shell);
      const peers = await startPeers(shell, (name, why) => report(name, why));
      await benchConnect(shell, "bench", peers);
      await benchThroughput(shell, "bench", peers);
      for (const peer of peers) await peer.stop();
    },
    async inspected() {
      await prepareLoad(shell);
      await benchInspected(shell, "bench");
    },
    inspection: () => benchInspection(shell, "bench"),
    stall: () => benchStall(shell, "bench"),
    idle: () => benchIdleTunnels(shell, POLICY),
    enforcement: () => benchEnforcement(shell),
    gateway: () => benchGateway(),
    fleet: () => benchFleet(),
    sessions: () => benchSessions(),
    loop: () => benchLoop(shell, POLICY, allowed),
  };
  const wanted = process.argv.slice(2);
  const unknown = wanted.find((name) => !(name in parts));
  if (unknown !== undefined) {
    console.error(`Error: no benchmark '${unknown}'; there are: ${Object.keys(parts).join(", ")}`);
    return 2;
  }
  await shell.startGateway();
  await shell.create("bench", POLICY);
  for (const [name, run] of Object.entries(parts)) if (wanted.length === 0 || wanted.includes(name)) await run();
  await shell.must("sandbox", "delete", "bench");
  return 0;
}

process.exit(await main());
