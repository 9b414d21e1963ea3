/** `bun run bench`: prints what the product promises in numbers, beside a peer in the same run. Trust ratios more than absolute values. */
import { cpus } from "node:os";
import { BINARY, Installation } from "../test/e2e/installation.ts";
import { allowed } from "../test/e2e/programs.ts";
import { missingForTestInternet, openTestInternet } from "../test/internet/open.ts";
import { benchConnect, LOADGEN, TARGET_PORT, TARGETS } from "./connect.ts";
import { benchLoop } from "./loop.ts";
import { benchMemory } from "./memory.ts";
import { benchExec, benchStart } from "./start.ts";

const POLICY = `version: 1
network_policies:
  example_api:
    endpoints: [{ host: api.example.com, port: 80 }]
    binaries: [{ path: ${allowed.path} }]
  load:
    endpoints: [{ host: ${TARGETS.ours}, port: ${TARGET_PORT} }]
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
  benchStart(shell.policy("start", POLICY));
  await shell.startGateway();
  await shell.create("bench", POLICY);
  await benchMemory(shell);
  await benchExec(shell, "bench");
  await benchConnect(shell, "bench");
  await benchLoop(shell, POLICY, allowed);
  await shell.must("sandbox", "delete", "bench");
  return 0;
}

process.exit(await main());
