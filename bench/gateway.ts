/** What a person waits for at the gateway: starts beside `podman run`, commands, calls, copies, logs. On loopback, with a gateway of its own. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { OpenShell, PushSandboxLogsRequestSchema } from "../src/rpc/gen/openshell/v1/openshell_pb.ts";
import { BINARY, type Connected, GatewayHost, workspaceScope } from "../test/gateway/host.ts";
import { untilOutput } from "./first-byte.ts";
import { preparePodman } from "./podman.ts";
import { milliseconds, report, summarise } from "./statistics.ts";
import { printTable, type Row } from "./table.ts";

const SANDBOX = "bench";
const STARTS = 15;
const EXECS = 200;
const IN_FLIGHT = 16;
const CALL_SECONDS = 3;
const COPY_BYTES = 200_000_000;
const LOG_BATCHES = 300;
const LOG_LINES = 100;

export async function benchGateway(): Promise<void> {
  await using host = await GatewayHost.open();
  await host.start();
  const rows: Row[] = [];
  const tell = (what: string, value: string, aim = "") => {
    rows.push([what, value, aim]);
    report(what, value);
  };
  await starts(host, tell);
  using connected = host.connect();
  await must(host, "sandbox", "create", "--name", SANDBOX);
  await execs(host, connected, tell);
  await calls(host, tell);
  await relay(connected, tell);
  await copies(host, tell);
  await logLines(host, connected, tell);
  printTable("Gateway", ["", "measured", "aim"], rows);
}

type Tell = (what: string, value: string, aim?: string) => void;

async function starts(host: GatewayHost, tell: Tell): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "openshell-bench-"));
  const podman = preparePodman(directory, ["/bin/sh", "/bin/sleep"], ["/bin/sh", "-c", "echo first-byte; exec sleep 600"]);
  const ours: number[] = [];
  const theirs: number[] = [];
  let problem = podman === undefined ? "not installed" : "";
  for (let round = 0; round <= STARTS; round++) {
    const name = `start-${round}`;
    const argv = [BINARY, "sandbox", "create", "--name", name, "--", "/bin/sh", "-c", "echo first-byte; exec sleep 600"];
    const begun = await untilOutput(argv, "first-byte", host.env);
    if (round > 0) ours.push(begun.milliseconds);
    await begun.stop();
    await must(host, "sandbox", "delete", name);
    if (podman === undefined || problem !== "") continue;
    try {
      const peer = await untilOutput(podman.command, "first-byte", podman.env);
      if (round > 0) theirs.push(peer.milliseconds);
      await peer.stop();
      Bun.spawnSync({ cmd: ["podman", "rm", "-fa", "-t", "0"], env: podman.env, stdout: "ignore", stderr: "ignore" });
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error);
    }
  }
  rmSync(directory, { recursive: true, force: true });
  tell("sandbox create → first byte of the agent, with the CLI's start", milliseconds(summarise(ours)), "p50 < 120 ms");
  tell("podman run → first byte", problem === "" ? milliseconds(summarise(theirs)) : problem, "(peer)");
}

async function execs(host: GatewayHost, { client }: Connected, tell: Tell): Promise<void> {
  const byApi: number[] = [];
  for (let round = -5; round < EXECS; round++) {
    const started = performance.now();
    for await (const _ of client.execSandbox({ workspaceScope, sandbox: SANDBOX, command: ["/bin/true"] }));
    if (round >= 0) byApi.push(performance.now() - started);
  }
  tell("exec /bin/true: over the API", milliseconds(summarise(byApi)), "25 ms (existing)");
  const byCli: number[] = [];
  for (let round = -1; round < 20; round++) {
    const started = performance.now();
    await must(host, "sandbox", "exec", "-n", SANDBOX, "--", "/bin/true");
    if (round >= 0) byCli.push(performance.now() - started);
  }
  tell("exec /bin/true: with the CLI's start", milliseconds(summarise(byCli)));
}

async function calls(host: GatewayHost, tell: Tell): Promise<void> {
  const clients = [host.connect(), host.connect()];
  const kinds: readonly [string, (client: Connected["client"]) => Promise<unknown>][] = [
    ["Health", (client) => client.health({})],
    ["GetSandbox", (client) => client.getSandbox({ workspaceScope, name: SANDBOX })],
    ["ListSandboxes", (client) => client.listSandboxes({ workspaceScope, pageSize: 50 })],
  ];
  for (const [name, call] of kinds) {
    const times: number[] = [];
    let end = performance.now() + 500;
    const worker = async ({ client }: Connected) => {
      while (performance.now() < end) {
        const started = performance.now();
        await call(client);
        times.push(performance.now() - started);
      }
    };
    const load = () => Promise.all(Array.from({ length: IN_FLIGHT }, (_, index) => worker(clients[index % clients.length] as Connected)));
    await load();
    times.length = 0;
    end = performance.now() + CALL_SECONDS * 1000;
    await load();
    tell(
      `${name}: unary calls/s, ${IN_FLIGHT} in flight`,
      `${(times.length / CALL_SECONDS).toFixed(0)} /s, ${milliseconds(summarise(times))}`,
      "3–4k (existing)",
    );
  }
  for (const connected of clients) connected[Symbol.dispose]();
}

async function relay({ client }: Connected, tell: Tell): Promise<void> {
  const started = performance.now();
  let bytes = 0;
  const command = ["/usr/bin/head", "-c", "500000000", "/dev/zero"];
  for await (const { payload } of client.execSandbox({ workspaceScope, sandbox: SANDBOX, command }))
    if (payload.case === "stdout") bytes += payload.value.data.length;
  tell("exec output through the gateway", perSecond(bytes, started));
}

async function copies(host: GatewayHost, tell: Tell): Promise<void> {
  const files = join(host.directory, "files");
  mkdirSync(files);
  const config = join(host.directory, "ssh.conf");
  writeFileSync(config, await must(host, "sandbox", "ssh-config", SANDBOX));
  writeFileSync(join(files, "big"), Buffer.alloc(COPY_BYTES, 7));
  const timed = async (what: string, argv: readonly string[], result: string) => {
    if (Bun.which(argv[0] ?? "") === null) return tell(what, `${argv[0]} is not installed`);
    const started = performance.now();
    const child = Bun.spawn({ cmd: [...argv], cwd: files, env: host.env, stdin: "ignore", stdout: "ignore", stderr: "pipe" });
    const [error, code] = await Promise.all([new Response(child.stderr).text(), child.exited]);
    const done = perSecond(COPY_BYTES, started);
    tell(what, code !== 0 ? `failed: ${error.trim().split("\n")[0]}` : statSync(result).size === COPY_BYTES ? done : "not all arrived");
  };
  const inside = join(host.sandboxesDirectory, readdirSync(host.sandboxesDirectory)[0] ?? "", "workspace/big");
  await timed("scp into the sandbox", ["scp", "-q", "-F", config, "big", `openshell-${SANDBOX}:big`], inside);
  await timed("scp out of the sandbox", ["scp", "-q", "-F", config, `openshell-${SANDBOX}:big`, "back"], join(files, "back"));
  await timed("sandbox upload", [BINARY, "sandbox", "upload", SANDBOX, "big", "uploaded"], join(inside, "../uploaded"));
}

async function logLines(host: GatewayHost, { client }: Connected, tell: Tell): Promise<void> {
  const { sandbox } = await client.getSandbox({ workspaceScope, name: SANDBOX });
  const id = sandbox?.metadata?.id ?? "";
  const token = readFileSync(join(host.sandboxesDirectory, id, "run/token"), "utf8").trim();
  const ca = readFileSync(join(host.directory, "config/openshell/gateways/openshell/mtls/ca.crt"), "utf8");
  const transport = createGrpcTransport({
    baseUrl: host.endpoint,
    nodeOptions: { ca, rejectUnauthorized: true },
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${token}`);
        return next(request);
      },
    ],
  });
  const line = (index: number) => ({
    sandboxId: id,
    eventTime: timestampFromMs(Date.now()),
    level: "INFO",
    source: "sandbox",
    message: `NET:OPEN INFO ALLOWED /usr/bin/curl(58) -> api.example.com:443 [policy:api engine:opa] ${index}`,
  });
  async function* batches() {
    for (let batch = 0; batch < LOG_BATCHES; batch++)
      yield create(PushSandboxLogsRequestSchema, { sandboxId: id, logs: Array.from({ length: LOG_LINES }, (_, index) => line(index)) });
  }
  const started = performance.now();
  await createClient(OpenShell, transport).pushSandboxLogs(batches());
  const count = LOG_BATCHES * LOG_LINES;
  tell("log lines taken", `${((count / (performance.now() - started)) * 1000).toFixed(0)} /s (${count} lines in batches of ${LOG_LINES})`);
}

function perSecond(bytes: number, started: number): string {
  return `${(bytes / (performance.now() - started) / 1000).toFixed(0)} MB/s (${(bytes / 1e6).toFixed(0)} MB)`;
}

async function must(host: GatewayHost, ...argv: string[]): Promise<string> {
  const { code, out, err } = await host.cli(...argv);
  if (code !== 0) throw new Error(`openshell ${argv.join(" ")}: exit ${code}\n${out}${err}`);
  return out;
}
