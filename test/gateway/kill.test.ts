/** A gateway that is killed at any moment under load: what it has acknowledged is there, nothing else runs, and sandboxes enforce on. */
import { expect, test } from "bun:test";
import { randomInt, randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { restrictiveDefault } from "../../src/policy/defaults.ts";
import { policyToProto } from "../../src/policy/proto.ts";
import { parsePolicyYaml } from "../../src/policy/yaml.ts";
import { DeletionOutcome, PolicyStatus, SandboxPhase } from "../../src/rpc/gen/openshell/v1/openshell_pb.ts";
import { eventually } from "../eventually.ts";
import { type Connected, GatewayHost, missingForGateway, workspaceScope } from "./host.ts";

/** Each takes some seconds, a busy machine's are longer; the thorough number is 200. */
const ROUNDS = Number(process.env["OPENSHELL_KILL_ROUNDS"] ?? 10);
/** Who runs the gateway: root, or an ordinary user by number. */
const USER = Number(process.env["OPENSHELL_KILL_UID"] ?? 0);
/** The thorough run takes long enough to wonder how far it is. */
const PROGRESS = 20;
/** Live sandboxes beside the steady one; the load deletes before it goes above. */
const MAX_SANDBOXES = 4;
const STEADY = "steady";
/** What the sandbox never may reach: a listener on the host itself. */
const ATTEMPT = `n=0; while :; do
  if curl -s -o /dev/null -m 2 -f http://127.0.0.1:1/ --noproxy ''; then echo REACHED; else echo refused; fi >>/sandbox/attempts
  n=$((n+1)); sleep 0.2; done`;

const missing = missingForGateway();
if (missing !== undefined) console.log(`skipped: a gateway killed under load: ${missing}`);

/** What the gateway has acknowledged, or may have done without being able to say so. */
interface Ledger {
  /** Name to id of every create that was answered. */
  readonly created: Map<string, string>;
  /** Names whose delete was answered. */
  readonly deleted: Set<string>;
  /** Request ids of the deletes that were asked for, answered or not, by name. */
  readonly deleting: Map<string, string>;
  /** Policy revisions of the steady sandbox that were answered. */
  readonly revisions: Map<number, string>;
  /** Creates with a request id that were not answered. */
  readonly unanswered: { name: string; requestId: string }[];
  execs: number;
}

test.skipIf(missing !== undefined)(
  `nothing acknowledged is lost in ${ROUNDS} kills`,
  async () => {
    await using host = await GatewayHost.open(USER);
    await host.start();
    const ledger: Ledger = { created: new Map(), deleted: new Set(), deleting: new Map(), revisions: new Map(), unanswered: [], execs: 0 };
    const steady = await createSteady(host);
    ledger.created.set(STEADY, steady);
    const attempts = () => {
      const file = join(host.sandboxesDirectory, steady, "workspace/attempts");
      return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
    };
    const explain = async () => host.diagnosis();
    const supervisor = host.supervisors().find(({ id }) => id === steady)?.pid;
    for (let round = 0; round < ROUNDS; round++) {
      await loadUntilKilled(host, ledger);
      const before = attempts().length;
      await eventually("an attempt while the gateway is away", 10_000, async () => attempts().length > before || undefined, explain);
      await host.start();
      await check(host, ledger);
      if ((round + 1) % PROGRESS === 0)
        console.log(`${round + 1} of ${ROUNDS} kills: ${ledger.created.size} creates, ${ledger.execs} commands`);
    }
    expect(host.supervisors().find(({ id }) => id === steady)?.pid).toBe(supervisor as number);
    expect(new Set(attempts())).toEqual(new Set(["refused"]));
    expect(ledger.execs).toBeGreaterThan(0);
    expect(ledger.revisions.size).toBeGreaterThan(0);
    console.log(
      `${ROUNDS} kills: ${ledger.created.size} creates, ${ledger.deleted.size} deletes, ${ledger.revisions.size} policy revisions and ${ledger.execs} commands acknowledged`,
    );
    expect(host.log).not.toContain("internal error");
  },
  60_000 + ROUNDS * 60_000,
);

async function createSteady(host: GatewayHost): Promise<string> {
  using connected = host.connect();
  const spec = { command: ["/bin/sh", "-c", ATTEMPT], policy: policyToProto(restrictiveDefault()) };
  const { sandbox } = await connected.client.createSandbox({ workspaceScope, name: STEADY, spec });
  await ready(connected, STEADY, host);
  return sandbox?.metadata?.id ?? "";
}

async function ready({ client }: Connected, name: string, host: GatewayHost): Promise<void> {
  let last = "";
  const look = async () => {
    const { sandbox } = await client.getSandbox({ workspaceScope, name });
    last = `${sandbox?.metadata?.id} ${SandboxPhase[sandbox?.status?.phase ?? 0]} ${sandbox?.status?.conditions[0]?.message}`;
    return sandbox?.status?.phase === SandboxPhase.READY || undefined;
  };
  await eventually(`${name} is ready`, 30_000, look, async () => `${last}\n${JSON.stringify(host.supervisors())}\n${host.diagnosis()}`);
}

/** Creates, deletes, policy updates and commands at once, until the gateway is killed in the middle of them. */
async function loadUntilKilled(host: GatewayHost, ledger: Ledger): Promise<void> {
  using connected = host.connect();
  const { client } = connected;
  let stopped = false;
  const forever = async (step: () => Promise<void>): Promise<void> => {
    while (!stopped) {
      try {
        await step();
      } catch (error) {
        if (!stopped && !isLoss(error)) throw error;
        if (!stopped) await Bun.sleep(1);
      }
    }
  };
  const workers = [
    forever(async () => {
      const live = [...ledger.created.keys()].filter((name) => name !== STEADY && !ledger.deleting.has(name));
      if (live.length < MAX_SANDBOXES) return void (await createOne(client, ledger));
      const name = live[0] ?? "";
      ledger.deleting.set(name, randomUUID());
      await deleteOne(client, ledger, name);
    }),
    forever(async () => {
      const answer = await client.updateConfig({ workspaceScope, sandbox: STEADY, policy: somePolicy() });
      ledger.revisions.set(answer.version, answer.policyHash);
    }),
    forever(async () => {
      for await (const { payload } of client.execSandbox({ workspaceScope, sandbox: STEADY, command: ["/bin/true"] })) {
        if (payload.case !== "exit") continue;
        expect(payload.value.exitCode).toBe(0);
        ledger.execs++;
      }
    }),
  ];
  await Bun.sleep(randomInt(50, 900));
  stopped = true;
  await host.kill("SIGKILL");
  await Promise.all(workers);
}

async function deleteOne(client: Connected["client"], ledger: Ledger, name: string): Promise<void> {
  const { outcome } = await client.deleteSandbox({ workspaceScope, name, requestId: ledger.deleting.get(name) ?? "" });
  expect(outcome).toBe(DeletionOutcome.COMPLETED);
  ledger.deleted.add(name);
}

async function createOne(client: Connected["client"], ledger: Ledger): Promise<void> {
  const again = ledger.unanswered.shift();
  const { name, requestId } = again ?? { name: `load-${randomUUID().slice(0, 8)}`, requestId: randomUUID() };
  try {
    const { sandbox } = await client.createSandbox({ workspaceScope, name, requestId, spec: {} });
    ledger.created.set(name, sandbox?.metadata?.id ?? "");
  } catch (error) {
    // The same request again finds out whether it was done: never "already exists".
    if (isLoss(error)) ledger.unanswered.push({ name, requestId });
    throw error;
  }
}

/** A call that was cut off, or came while the sandbox waits for its supervisor to come back. */
function isLoss(error: unknown): boolean {
  const { code } = ConnectError.from(error);
  return [
    Code.Unavailable,
    Code.Canceled,
    Code.Aborted,
    Code.Internal,
    Code.Unknown,
    Code.FailedPrecondition,
    Code.DeadlineExceeded,
  ].includes(code);
}

let port = 1000;
/** A policy that differs from every earlier one. */
function somePolicy() {
  const text = `network_policies:\n  one:\n    endpoints: [{ host: api.example.com, port: ${++port} }]\n    binaries: [{ path: /usr/bin/curl }]\n`;
  const { networkPolicies } = parsePolicyYaml(`version: 1\n${text}`, { source: "test" });
  return policyToProto({ ...restrictiveDefault(), networkPolicies });
}

async function check(host: GatewayHost, ledger: Ledger): Promise<void> {
  using connected = host.connect();
  const { client } = connected;
  const { sandboxes } = await client.listSandboxes({ workspaceScope, pageSize: 1000 });
  const found = new Map(sandboxes.map(({ metadata }) => [metadata?.name ?? "", metadata?.id ?? ""]));
  for (const [name, id] of ledger.created) if (!ledger.deleting.has(name)) expect([name, found.get(name)]).toEqual([name, id]);
  for (const name of ledger.deleted) expect(found.has(name)).toBe(false);
  for (const [version, hash] of ledger.revisions) {
    const { revision } = await client.getSandboxPolicyStatus({ workspaceScope, sandbox: STEADY, version });
    expect(revision?.policyHash).toBe(hash);
  }
  // The same delete again answers as the first would have, whether it was done or not.
  for (const name of ledger.deleting.keys()) if (!ledger.deleted.has(name)) await deleteOne(client, ledger, name);
  await ready(connected, STEADY, host);
  await eventually("the newest policy is in force", 20_000, async () => {
    const { revision } = await client.getSandboxPolicyStatus({ workspaceScope, sandbox: STEADY });
    return revision?.status === PolicyStatus.LOADED || undefined;
  });
  const listed = async () => (await client.listSandboxes({ workspaceScope, pageSize: 1000 })).sandboxes;
  await eventually(
    "one supervisor for each sandbox and no other",
    20_000,
    async () => {
      const ids = (await listed()).map(({ metadata }) => metadata?.id ?? "");
      const running = host.supervisors().map(({ id }) => id);
      return JSON.stringify(running.sort()) === JSON.stringify(ids.sort()) || undefined;
    },
    async () => {
      const states = (await listed()).map(
        ({ metadata, status }) => `${metadata?.id} ${SandboxPhase[status?.phase ?? 0]} ${status?.conditions[0]?.message}`,
      );
      return [...states, JSON.stringify(host.supervisors()), host.diagnosis()].join("\n");
    },
  );
}
