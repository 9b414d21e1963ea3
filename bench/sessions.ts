/** A thousand supervisors' sessions against one gateway, played by this process: time until all stand, calls beside them, memory and CPU. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { FakeSupervisor } from "../src/modes/gateway/gateway.test-support.ts";
import { restrictiveDefault } from "../src/policy/defaults.ts";
import { policyToProto } from "../src/policy/proto.ts";
import { parsePolicyYaml } from "../src/policy/yaml.ts";
import type { SandboxPolicy } from "../src/rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { OpenShell } from "../src/rpc/gen/openshell/v1/openshell_pb.ts";
import type { SupervisorSpec } from "../src/supervisor-spec.ts";
import { eventually } from "../test/eventually.ts";
import { workspaceScope } from "../test/gateway/host.ts";
import { cpuSeconds, memoryOf } from "./process-usage.ts";
import { milliseconds, summarise } from "./statistics.ts";
import { printTable } from "./table.ts";

const SESSIONS = Number(process.env["OPENSHELL_BENCH_SESSIONS"] ?? 1000);
const IDLE_SECONDS = 20;
/** Connections that are being made at once. */
const AT_ONCE = 20;
const UPDATES = 50;

export async function benchSessions(): Promise<void> {
  const child = Bun.spawn({
    cmd: [process.execPath, join(import.meta.dir, "session-gateway.ts"), String(SESSIONS)],
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  try {
    await measure(child.pid, await firstLine(child.stdout));
  } finally {
    await child.stdin.end();
    await child.exited;
  }
}

function policyFor(round: number): SandboxPolicy {
  const rule = `{ endpoints: [{ host: api.example.com, port: ${1000 + round} }], binaries: [{ path: /usr/bin/curl }] }`;
  const { networkPolicies } = parsePolicyYaml(`version: 1\nnetwork_policies:\n  one: ${rule}\n`, { source: "bench" });
  return policyToProto({ ...restrictiveDefault(), networkPolicies });
}

interface Started {
  readonly directory: string;
  readonly endpoint: string;
  readonly ids: readonly string[];
}

async function measure(pid: number, { directory, endpoint, ids }: Started): Promise<void> {
  const pem = (name: string) => readFileSync(join(directory, "state/tls", name));
  const ca = pem("ca.crt");
  const client = (nodeOptions: object, bearer?: string) =>
    createClient(
      OpenShell,
      createGrpcTransport({
        baseUrl: endpoint,
        nodeOptions: { ca, rejectUnauthorized: true, ...nodeOptions },
        interceptors: [
          (next) => (request) => {
            if (bearer !== undefined) request.header.set("authorization", `Bearer ${bearer}`);
            return next(request);
          },
        ],
      }),
    );
  const user = client({ cert: pem("client.crt"), key: pem("client.key") });
  const before = memoryOf(pid);
  const sessions = new Map<string, FakeSupervisor>();
  const started = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next < ids.length) {
        const id = ids[next++] ?? "";
        const run = join(directory, "state/sandboxes", id, "run");
        await eventually("a token", 30_000, async () => existsSync(join(run, "token")) || undefined);
        const { instanceId } = JSON.parse(readFileSync(join(run, "spec.json"), "utf8")) as SupervisorSpec;
        const session = new FakeSupervisor(client({}, readFileSync(join(run, "token"), "utf8").trim()), id, instanceId);
        sessions.set(id, session);
        await eventually("a session", 60_000, async () => session.received.length > 0 || undefined);
      }
    }),
  );
  const stood = (performance.now() - started) / 1000;
  const cpu = cpuSeconds(pid);
  await Bun.sleep(IDLE_SECONDS * 1000);
  const idle = ((cpuSeconds(pid) - cpu) / IDLE_SECONDS) * 100;
  const after = memoryOf(pid);
  const pushed: number[] = [];
  const listed: number[] = [];
  for (let round = 0; round < UPDATES; round++) {
    const from = performance.now();
    await user.listSandboxes({ workspaceScope, pageSize: 100 });
    listed.push(performance.now() - from);
    const name = `session-${round % sessions.size}`;
    const { sandbox } = await user.getSandbox({ workspaceScope, name });
    const session = sessions.get(sandbox?.metadata?.id ?? "");
    if (session === undefined) throw new Error(`${name} has no session`);
    const had = session.received.length;
    const sent = performance.now();
    await user.updateConfig({ workspaceScope, sandbox: name, policy: policyFor(round) });
    await eventually(
      "a pushed policy",
      30_000,
      async () => session.received.slice(had).some(({ payload }) => payload.case === "configUpdate") || undefined,
      async () => JSON.stringify(session.received.map(({ payload }) => payload.case)),
    );
    pushed.push(performance.now() - sent);
  }
  for (const session of sessions.values()) session.disconnect();
  printTable(
    `${sessions.size} simulated sessions on one gateway`,
    ["", "measured"],
    [
      ["all stand", `${stood.toFixed(1)} s (${(sessions.size / stood).toFixed(0)} /s, TLS and bootstrap included)`],
      [
        "gateway memory",
        `${(before.own / 1e6).toFixed(0)} → ${(after.own / 1e6).toFixed(0)} MB, ${((after.own - before.own) / sessions.size / 1024).toFixed(0)} KiB a session`,
      ],
      [`gateway CPU, idle, over ${IDLE_SECONDS} s`, `${idle.toFixed(1)} % of one processor`],
      ["ListSandboxes of 100", milliseconds(summarise(listed))],
      ["policy set → pushed to its session", milliseconds(summarise(pushed))],
    ],
  );
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<Started> {
  let text = "";
  for await (const piece of stream) {
    text += Buffer.from(piece).toString();
    const line = text.split("\n").find((one) => one.startsWith("{") && text.includes(`${one}\n`));
    if (line !== undefined) return JSON.parse(line) as Started;
  }
  throw new Error(`the gateway ended: ${text}`);
}
