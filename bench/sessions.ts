/** A thousand supervisors' sessions against one gateway, played by this process: calls and policies beside them, and a gateway that is killed. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { restrictiveDefault } from "../src/policy/defaults.ts";
import { policyToProto } from "../src/policy/proto.ts";
import { parsePolicyYaml } from "../src/policy/yaml.ts";
import type { SandboxPolicy } from "../src/rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { OpenShell } from "../src/rpc/gen/openshell/v1/openshell_pb.ts";
import { surviveTransportFaults } from "../src/rpc/transport-faults.ts";
import { eventually } from "../test/eventually.ts";
import { workspaceScope } from "../test/gateway/host.ts";
import { each } from "./each.ts";
import { cpuSeconds, memoryOf } from "./process-usage.ts";
import type { ReadyGateway } from "./session-gateway.ts";
import { SimulatedSupervisor } from "./simulated-supervisor.ts";
import { milliseconds, report, summarise } from "./statistics.ts";

const SESSIONS = Number(process.env["OPENSHELL_BENCH_SESSIONS"] ?? 1000);
const IDLE_SECONDS = 20;
/** Sandboxes that start at the same moment; after a restart of the gateway all come at once. */
const CONNECTING = 50;
const CALLS = 500;
const UPDATES = 100;
/** Policies for all sandboxes, one after the other. */
const PUSHES = 5;
/** More than this is a failure, not a result. Milliseconds. */
const PATIENCE = 180_000;

export async function benchSessions(): Promise<void> {
  surviveTransportFaults();
  const directory = mkdtempSync(join(tmpdir(), "openshell-sessions-"));
  let gateway = await start(directory, 0);
  const supervisors: SimulatedSupervisor[] = [];
  try {
    report(`${SESSIONS} sandboxes made`, `${gateway.took.toFixed(1)} s`);
    await connectAll(gateway, directory, supervisors);
    await idle(gateway, supervisors);
    const user = userClient(gateway, directory);
    await calls(user, supervisors);
    await pushes(user, supervisors);
    gateway = await restart(gateway, directory, supervisors);
  } finally {
    for (const supervisor of supervisors) supervisor.stop();
    await gateway.child.stdin.end();
    await gateway.child.exited;
    rmSync(directory, { recursive: true, force: true });
  }
}

interface Running extends ReadyGateway {
  readonly child: Bun.Subprocess<"pipe", "pipe", "inherit">;
}

async function start(directory: string, port: number): Promise<Running> {
  const child = Bun.spawn({
    cmd: [process.execPath, join(import.meta.dir, "session-gateway.ts"), String(SESSIONS), directory, String(port)],
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  let text = "";
  for await (const piece of child.stdout) {
    text += Buffer.from(piece).toString();
    const line = text.split("\n").find((one) => one.startsWith("{") && text.includes(`${one}\n`));
    if (line !== undefined) return { child, ...(JSON.parse(line) as ReadyGateway) };
  }
  throw new Error(`the gateway ended: ${text}`);
}

async function connectAll({ child, ids }: Running, directory: string, supervisors: SimulatedSupervisor[]): Promise<void> {
  const before = memoryOf(child.pid);
  const [started, cpu] = [performance.now(), cpuSeconds(child.pid)];
  await each(CONNECTING, ids, async (id) => {
    const supervisor = new SimulatedSupervisor(join(directory, "state/sandboxes", id));
    supervisors.push(supervisor);
    await allConnected([supervisor]);
  });
  const seconds = (performance.now() - started) / 1000;
  const after = memoryOf(child.pid);
  const used = `gateway CPU ${(cpuSeconds(child.pid) - cpu).toFixed(1)} s`;
  report(`all connect, ${CONNECTING} at once`, `${seconds.toFixed(1)} s (${(ids.length / seconds).toFixed(0)} /s), ${used}`);
  const perSession = (after.own - before.own) / ids.length / 1024;
  report("gateway memory", `${(before.own / 1e6).toFixed(0)} → ${(after.own / 1e6).toFixed(0)} MB, ${perSession.toFixed(0)} KiB a session`);
}

async function allConnected(supervisors: readonly SimulatedSupervisor[]): Promise<void> {
  const missing = () => supervisors.filter(({ connected, versions }) => !connected || versions.length === 0).length;
  const explain = async () => `${missing()} of ${supervisors.length} are missing`;
  await eventually("every session", PATIENCE, async () => missing() === 0 || undefined, explain);
}

async function idle({ child }: Running, supervisors: readonly SimulatedSupervisor[]): Promise<void> {
  const cpu = cpuSeconds(child.pid);
  await Bun.sleep(IDLE_SECONDS * 1000);
  const used = ((cpuSeconds(child.pid) - cpu) / IDLE_SECONDS) * 100;
  report(`gateway CPU over ${IDLE_SECONDS} s, idle but for the polls of ${supervisors.length}`, `${used.toFixed(1)} % of one processor`);
}

function userClient({ endpoint }: Running, directory: string): Client<typeof OpenShell> {
  const pem = (name: string) => readFileSync(join(directory, "state/tls", name));
  const nodeOptions = { ca: pem("ca.crt"), cert: pem("client.crt"), key: pem("client.key"), rejectUnauthorized: true };
  return createClient(OpenShell, createGrpcTransport({ baseUrl: endpoint, nodeOptions }));
}

async function calls(user: Client<typeof OpenShell>, supervisors: readonly SimulatedSupervisor[]): Promise<void> {
  const timed = async (what: string, atOnce: number, count: number, call: (name: string) => Promise<unknown>): Promise<void> => {
    const times: number[] = [];
    const numbers = Array.from({ length: count }, (_, number) => number);
    await each(atOnce, numbers, async (number) => {
      const from = performance.now();
      await call(supervisors[number % supervisors.length]?.name ?? "");
      times.push(performance.now() - from);
    });
    report(`${what}, ${atOnce} at once`, milliseconds(summarise(times)));
  };
  await timed("GetSandbox", 1, CALLS, (name) => user.getSandbox({ workspaceScope, name }));
  await timed("GetSandbox", 16, CALLS * 4, (name) => user.getSandbox({ workspaceScope, name }));
  await timed("ListSandboxes of 100", 1, UPDATES, () => user.listSandboxes({ workspaceScope, pageSize: 100 }));
  let round = 0;
  const bySupervisor = new Map(supervisors.map((supervisor) => [supervisor.name, supervisor]));
  await timed("policy set → at its supervisor", 1, UPDATES, async (name) => {
    const { version } = await user.updateConfig({ workspaceScope, sandbox: name, policy: policyOf(++round) });
    while (bySupervisor.get(name)?.versions.includes(version) === false) await new Promise(setImmediate);
  });
}

/** A policy for all sandboxes, until every supervisor has it and until every answer has been written down. */
async function pushes(user: Client<typeof OpenShell>, supervisors: readonly SimulatedSupervisor[]): Promise<void> {
  const [answered, everywhere]: [number[], number[]] = [[], []];
  for (let round = 0; round < PUSHES; round++) {
    const from = performance.now();
    const { version } = await user.updateConfig({ global: true, policy: policyOf(10_000 + round) });
    answered.push(performance.now() - from);
    const missing = () => supervisors.filter(({ versions }) => versions.at(-1) !== -version).length;
    const explain = async () => `${missing()} of ${supervisors.length} are missing`;
    await eventually("the policy everywhere", PATIENCE, async () => missing() === 0 || undefined, explain);
    everywhere.push(performance.now() - from);
    // A call that waits behind the answers of all.
    await user.getSandbox({ workspaceScope, name: supervisors[0]?.name ?? "" });
  }
  report("global policy: answered", milliseconds(summarise(answered)));
  report(`global policy → at all ${supervisors.length} supervisors`, milliseconds(summarise(everywhere)));
  await user.updateConfig({ global: true, settingKey: "policy", deleteSetting: true });
}

async function restart(gateway: Running, directory: string, supervisors: readonly SimulatedSupervisor[]): Promise<Running> {
  gateway.child.kill("SIGKILL");
  await gateway.child.exited;
  for (const { versions } of supervisors) versions.length = 0;
  await eventually("the loss noticed", PATIENCE, async () => supervisors.every(({ connected }) => !connected) || undefined);
  const from = performance.now();
  const next = await start(directory, Number(new URL(gateway.endpoint).port));
  await allConnected(supervisors);
  const seconds = (performance.now() - from) / 1000;
  report("killed and started again", `ready after ${next.took.toFixed(1)} s, every session back after ${seconds.toFixed(1)} s`);
  report("  its CPU for that", `${cpuSeconds(next.child.pid).toFixed(1)} s`);
  return next;
}

function policyOf(number: number): SandboxPolicy {
  const rule = `{ endpoints: [{ host: n${number}.example.com, port: 443 }], binaries: [{ path: /usr/bin/curl }] }`;
  const { networkPolicies } = parsePolicyYaml(`version: 1\nnetwork_policies:\n  one: ${rule}\n`, { source: "bench" });
  return policyToProto({ ...restrictiveDefault(), networkPolicies });
}
