/** A gateway that is killed at any moment under load: what it has acknowledged is there, nothing else runs, and sandboxes enforce on. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { randomInt, randomUUID } from "node:crypto";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
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
/** From before anything is answered to the middle of several of each. */
const [SHORTEST_LOAD_MS, LONGEST_LOAD_MS] = [50, 1800];
/** Live sandboxes beside the steady one; the load deletes before it goes above. */
const MAX_SANDBOXES = 4;
const STEADY = "steady";
const CURL = "/usr/bin/curl";
/** Host names that no resolver knows: one that every policy of this test allows, looked for and not found (502), and one that none does (403). */
const [ALLOWED, DENIED] = ["allowed.invalid", "denied.invalid"];
/** What the policy decided and what was reached on the way around it, a line each time. */
const attempt = (host: string) => `code() { ${CURL} -s -o /dev/null -w '%{http_connect}' -m 10 https://$1/; }
  while :; do
    ${CURL} -s -f -o /dev/null -m 10 --noproxy '*' http://${host}/ && direct=REACHED || direct=refused
    echo "allowed $(code ${ALLOWED}), denied $(code ${DENIED}), direct $direct" >>/sandbox/attempts; sleep 0.3
  done`;
const ENFORCED = "allowed 502, denied 403, direct refused";
/** The same on a machine too busy to answer curl in its time: nothing was passed. */
const HARMLESS = /^allowed (502|000), denied (403|000), direct refused$/;

const missing = missingForGateway() ?? (existsSync(CURL) ? undefined : `${CURL} is not installed`);
if (missing !== undefined) console.log(`skipped: a gateway killed under load: ${missing}`);

interface Asked {
  readonly name: string;
  readonly requestId: string;
}

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
  /** How many of them a check has read back. */
  checked: number;
  /** Names that were asked for, answered or not: no others may be there. */
  readonly asked: Set<string>;
  /** Creates with a request id that were not answered. */
  readonly unanswered: Asked[];
  execs: number;
}

test.skipIf(missing !== undefined)(
  `nothing acknowledged is lost in ${ROUNDS} kills`,
  async () => {
    // What no sandbox may reach: a listener of this machine, on every address of it.
    let reached = 0;
    using listener = Bun.listen({ hostname: "0.0.0.0", port: 0, socket: { open: () => void reached++, data: () => {} } });
    await using host = await GatewayHost.open(USER);
    await host.start();
    const load = new Load(host, attempt(`${ownAddress()}:${listener.port}`));
    const { ledger } = load;
    const steady = await load.createSteady();
    const explain = async () => `${attemptsOf(host, steady).slice(-5).join("; ")}\n${host.diagnosis()}`;
    const supervisor = host.supervisors().find(({ id }) => id === steady)?.pid;
    for (let round = 0; round < ROUNDS; round++) {
      await load.untilKilled();
      const before = attemptsOf(host, steady).length;
      const enforced = async () => attemptsOf(host, steady).slice(before).includes(ENFORCED) || undefined;
      await eventually("both answers while the gateway is away", 60_000, enforced, explain);
      checkFiles(host);
      await host.start();
      await check(host, load);
      if ((round + 1) % PROGRESS === 0)
        console.log(
          `${round + 1} of ${ROUNDS} kills: ${ledger.created.size} creates, ${ledger.revisions.size} policies, ${ledger.execs} commands`,
        );
    }
    await checkAllRevisions(host, ledger);
    expect(host.supervisors().find(({ id }) => id === steady)?.pid).toBe(supervisor as number);
    expect(reached).toBe(0);
    console.log(
      `${ROUNDS} kills: ${ledger.created.size} creates, ${ledger.deleted.size} deletes, ${ledger.revisions.size} policy revisions and ${ledger.execs} commands acknowledged; ${attemptsOf(host, steady).length} attempts of the steady sandbox`,
    );
    expect(host.log).not.toContain("internal error");
    await load.deleteAll();
    expect(host.supervisors()).toEqual([]);
    expect(host.sandboxDirectories()).toEqual([]);
  },
  120_000 + ROUNDS * 120_000,
);

/** An address at which this machine hears from outside, if it has one. */
function ownAddress(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  return addresses.find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.1";
}

/** What a sandbox has tried so far, by its workspace; its last line may be half written. */
function attemptsOf(host: GatewayHost, id: string): string[] {
  try {
    return readFileSync(join(host.sandboxesDirectory, id, "workspace/attempts"), "utf8")
      .split("\n")
      .slice(0, -1);
  } catch {
    return []; // none yet, or the sandbox is gone
  }
}

/**
 * What the kill left behind, before anything mends it: no sandbox got through, and the databases are whole, in a copy because to open one is
 * to recover it.
 */
function checkFiles(host: GatewayHost): void {
  for (const id of host.sandboxDirectories()) for (const line of attemptsOf(host, id)) expect(line).toMatch(HARMLESS);
  const copy = mkdtempSync(join(tmpdir(), "openshell-killed-"));
  try {
    cpSync(join(host.directory, "state/openshell/gateway"), copy, { recursive: true });
    for (const name of readdirSync(copy).filter((file) => file.endsWith(".db"))) {
      using db = new Database(join(copy, name));
      expect([name, db.query("PRAGMA integrity_check").all()]).toEqual([name, [{ integrity_check: "ok" }]]);
      expect([name, db.query("PRAGMA foreign_key_check").all()]).toEqual([name, []]);
      if (name !== "openshell.db") continue;
      const gaps = "SELECT sandbox_id FROM policy_revisions GROUP BY sandbox_id HAVING count(*) <> max(version)";
      expect(db.query(gaps).all()).toEqual([]);
    }
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** Creates, deletes, policy updates and commands at once, and what was answered to them. */
class Load {
  readonly ledger: Ledger = {
    ...{ created: new Map(), deleted: new Set(), deleting: new Map(), asked: new Set(), unanswered: [] },
    ...{ revisions: new Map(), checked: 0, execs: 0 },
  };
  readonly #host: GatewayHost;
  readonly #command: readonly string[];
  /** No other program of this machine has these words. */
  readonly longCommand: readonly string[];

  constructor(host: GatewayHost, script: string) {
    this.#host = host;
    this.#command = ["/bin/sh", "-c", script];
    this.longCommand = ["/bin/sleep", `86400.${host.port}`];
  }

  async createSteady(): Promise<string> {
    using connected = this.#host.connect();
    const { client } = connected;
    await this.#create(client, { name: STEADY, requestId: randomUUID() });
    await ready(connected, STEADY, this.#host);
    return this.ledger.created.get(STEADY) ?? "";
  }

  /** Until the gateway is killed in the middle of them. */
  async untilKilled(): Promise<void> {
    using connected = this.#host.connect();
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
      forever(() => this.#createOrDelete(client)),
      forever(async () => {
        const answer = await client.updateConfig({ workspaceScope, sandbox: STEADY, policy: somePolicy() });
        this.ledger.revisions.set(answer.version, answer.policyHash);
      }),
      forever(async () => {
        for await (const { payload } of client.execSandbox({ workspaceScope, sandbox: STEADY, command: ["/bin/true"] })) {
          if (payload.case !== "exit") continue;
          expect(payload.value.exitCode).toBe(0);
          this.ledger.execs++;
        }
      }),
      // Runs when the gateway dies: nobody is left to hear of its end, so it must not go on.
      forever(async () => {
        for await (const _ of client.execSandbox({ workspaceScope, sandbox: STEADY, command: [...this.longCommand] }));
      }),
    ];
    await Bun.sleep(randomInt(SHORTEST_LOAD_MS, LONGEST_LOAD_MS));
    const { created, revisions } = this.ledger;
    const some = async () => (created.size > 1 && revisions.size > 0 && this.ledger.execs > 0) || undefined;
    await eventually("an answer of each kind before the first kill", 60_000, some, async () => this.#host.diagnosis());
    stopped = true;
    await this.#host.kill("SIGKILL");
    await Promise.all(workers);
  }

  async deleteAll(): Promise<void> {
    using connected = this.#host.connect();
    const { client } = connected;
    while (this.ledger.unanswered.length > 0) await this.#create(client, this.ledger.unanswered.shift());
    for (const name of this.ledger.created.keys()) {
      if (this.ledger.deleting.has(name)) continue;
      this.ledger.deleting.set(name, randomUUID());
      await deleteOne(client, this.ledger, name);
    }
  }

  async #createOrDelete(client: Connected["client"]): Promise<void> {
    const { created, deleting, unanswered } = this.ledger;
    const live = [...created.keys()].filter((name) => name !== STEADY && !deleting.has(name));
    if (live.length < MAX_SANDBOXES) return this.#create(client, unanswered.shift());
    const name = live[0] ?? "";
    deleting.set(name, randomUUID());
    await deleteOne(client, this.ledger, name);
  }

  async #create(
    client: Connected["client"],
    { name, requestId }: Asked = { name: `load-${randomUUID().slice(0, 8)}`, requestId: randomUUID() },
  ): Promise<void> {
    const { asked, created, unanswered } = this.ledger;
    asked.add(name);
    try {
      const spec = { command: [...this.#command], policy: somePolicy(0) };
      const { sandbox } = await client.createSandbox({ workspaceScope, name, requestId, spec });
      created.set(name, sandbox?.metadata?.id ?? "");
    } catch (error) {
      // The same request again finds out whether it was done: never "already exists".
      if (isLoss(error)) unanswered.push({ name, requestId });
      throw error;
    }
  }
}

async function deleteOne(client: Connected["client"], ledger: Ledger, name: string): Promise<void> {
  const { outcome } = await client.deleteSandbox({ workspaceScope, name, requestId: ledger.deleting.get(name) ?? "" });
  expect(outcome).toBe(DeletionOutcome.COMPLETED);
  ledger.deleted.add(name);
}

async function ready({ client }: Connected, name: string, host: GatewayHost): Promise<void> {
  let last = "";
  const look = async () => {
    const { sandbox } = await client.getSandbox({ workspaceScope, name });
    last = `${sandbox?.metadata?.id} ${SandboxPhase[sandbox?.status?.phase ?? 0]} ${sandbox?.status?.conditions[0]?.message}`;
    return sandbox?.status?.phase === SandboxPhase.READY || undefined;
  };
  await eventually(`${name} is ready`, 60_000, look, async () => `${last}\n${JSON.stringify(host.supervisors())}\n${host.diagnosis()}`);
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

let policies = 0;
/** A policy that differs from every earlier one, but for number 0, which is always the same. */
function somePolicy(number = ++policies) {
  const rule = (host: string) => `{ endpoints: [{ host: ${host}, port: 443 }], binaries: [{ path: ${CURL} }] }`;
  const other = number === 0 ? "" : `  other: ${rule(`number-${number}.invalid`)}\n`;
  const text = `network_policies:\n  allowed: ${rule(ALLOWED)}\n${other}`;
  const { networkPolicies } = parsePolicyYaml(`version: 1\n${text}`, { source: "test" });
  return policyToProto({ ...restrictiveDefault(), networkPolicies });
}

/** After a start: what was acknowledged is there, what was not either is or is not, and what runs belongs to somebody. */
async function check(host: GatewayHost, { ledger, longCommand }: Load): Promise<void> {
  using connected = host.connect();
  const { client } = connected;
  const { sandboxes } = await client.listSandboxes({ workspaceScope, pageSize: 1000 });
  const found = new Map(sandboxes.map(({ metadata }) => [metadata?.name ?? "", metadata?.id ?? ""]));
  for (const [name, id] of ledger.created) if (!ledger.deleting.has(name)) expect([name, found.get(name)]).toEqual([name, id]);
  for (const name of ledger.deleted) expect(found.has(name)).toBe(false);
  for (const name of found.keys()) expect([name, ledger.asked.has(name)]).toEqual([name, true]);
  for (const [version, hash] of [...ledger.revisions].slice(ledger.checked)) {
    const { revision } = await client.getSandboxPolicyStatus({ workspaceScope, sandbox: STEADY, version });
    expect(revision?.policyHash).toBe(hash);
  }
  ledger.checked = ledger.revisions.size;
  // The same delete again answers as the first would have, whether it was done or not.
  for (const name of ledger.deleting.keys()) if (!ledger.deleted.has(name)) await deleteOne(client, ledger, name);
  await ready(connected, STEADY, host);
  await eventually("the newest policy is in force", 60_000, async () => {
    const { revision } = await client.getSandboxPolicyStatus({ workspaceScope, sandbox: STEADY });
    return revision?.status === PolicyStatus.LOADED || undefined;
  });
  const listed = async () => (await client.listSandboxes({ workspaceScope, pageSize: 1000 })).sandboxes;
  await eventually(
    "one supervisor for each sandbox and no other",
    60_000,
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
  await eventually(
    "the commands of before have ended",
    60_000,
    async () => runningPids(longCommand).length === 0 || undefined,
    async () => host.diagnosis(),
  );
}

/** Processes of this machine with exactly these words. */
function runningPids(command: readonly string[]): string[] {
  const words = `${command.join("\0")}\0`;
  return readdirSync("/proc").filter((entry) => {
    try {
      return /^\d+$/.test(entry) && readFileSync(`/proc/${entry}/cmdline`, "utf8") === words;
    } catch {
      return false; // it ended meanwhile
    }
  });
}

async function checkAllRevisions(host: GatewayHost, ledger: Ledger): Promise<void> {
  using connected = host.connect();
  const stored = new Map<number, string>();
  let pageToken = "";
  do {
    const page = await connected.client.listSandboxPolicies({ workspaceScope, sandbox: STEADY, pageSize: 1000, pageToken });
    for (const { version, policyHash } of page.revisions) stored.set(version, policyHash);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  for (const [version, hash] of ledger.revisions) expect([version, stored.get(version)]).toEqual([version, hash]);
}
