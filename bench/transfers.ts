/**
 * What a supervisor grows by while large bodies pass, also when one side stops reading, from when it is idle. Each case has a supervisor of its
 * own. `TRANSFER_MIB`: how large a body is (1024). `TRANSFER_CASES`: a pattern of the cases to run.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BINARY, type Installation } from "../test/e2e/installation.ts";
import { ModelServer, routesFile } from "../test/inference/models.ts";
import { ProgramMemory } from "../test/inspect/supervisor-memory.ts";
import { HTTP2_PORT, SOURCE_PORT } from "../test/internet/topology.ts";
import { report } from "./statistics.ts";

const MIB = 1024 * 1024;
const SIZE = Number(process.env["TRANSFER_MIB"] ?? 1024) * MIB;
const STALL_SECONDS = 10;
/** How often memory is looked at; the kernel keeps the largest size in between. */
const LOOK_MS = 100;

const HTTP1 = "https://api.example.com";
const HTTP2 = `https://h2.example.com:${HTTP2_PORT}/public`;

export const policy = `version: 1
network_policies:
  transfers:
    endpoints:
      - { host: api.example.com, port: 443, protocol: rest, enforcement: enforce, access: full }
      - { host: other.example.com, port: 443, tls: skip }
      - { host: cdn.example.net, port: 443, protocol: websocket, enforcement: enforce, access: full }
      - { host: h2.example.com, port: ${HTTP2_PORT}, protocol: rest, enforcement: enforce, access: full }
      - { host: source.example.com, port: ${SOURCE_PORT} }
    binaries: [{ path: "/usr/bin/**" }]
`;

const down = (how: string, url: string) => `curl -sS ${how} ${url}/bytes/${SIZE} | wc -c`;
/** Reads a quarter, nothing for a while, and then the rest. */
const slowDown = (how: string, url: string) =>
  `curl -sS ${how} ${url}/bytes/${SIZE} | (head -c ${SIZE / 4} | wc -c; sleep ${STALL_SECONDS}; wc -c)`;
const up = (how: string, url: string, path = "up") =>
  `head -c ${SIZE} /dev/zero | curl -sS ${how} -H Expect: -T - ${url}/${path} | grep -o '"bodyBytes":[0-9]*'`;
const stalled = (count: number, how: string, url: string) =>
  `${`(curl -sS ${how} ${url}/bytes/${SIZE} | (head -c 1000 > /dev/null; sleep ${STALL_SECONDS})) & `.repeat(count)} wait`;
const question = (how = "") => `curl -sSN ${how} -d '{"stream":true,"flood":true}' https://inference.local/v1/chat/completions`;
const unread = (count: number, how: string) =>
  `${`(${question(how)} | (head -c 1000 > /dev/null; sleep ${STALL_SECONDS})) & `.repeat(count)} wait`;
const talk = (lines: readonly string[]) => `printf '${lines.join("\\n")}\\n' | node /client/client.mjs wss://cdn.example.net/large`;

export const CASES: Readonly<Record<string, string>> = {
  "nothing, 10 s": "sleep 10",
  "100 small requests": `for i in $(seq 100); do curl -sS -o /dev/null ${HTTP1}/small; done`,
  "download, HTTP/1.1": down("--http1.1", HTTP1),
  "download, HTTP/1.1, client stalls": slowDown("--http1.1", HTTP1),
  "5 downloads, HTTP/1.1, clients stall": stalled(5, "--http1.1", HTTP1),
  "upload, HTTP/1.1, chunked": up("--http1.1", HTTP1),
  "upload, HTTP/1.1, with its length": `truncate -s ${SIZE} /tmp/large; curl -sS --http1.1 -H Expect: -T /tmp/large ${HTTP1}/up | grep -o '"bodyBytes":[0-9]*'`,
  "upload, HTTP/1.1, server stalls": up("--http1.1", HTTP1, `stall/${STALL_SECONDS}`),
  "download, HTTP/2": down("--http2", HTTP2),
  "download, HTTP/2, client stalls": slowDown("--http2", HTTP2),
  "5 downloads, HTTP/2, clients stall": stalled(5, "--http2", HTTP2),
  "upload, HTTP/2": up("--http2", HTTP2),
  "upload, HTTP/2, server stalls": up("--http2", HTTP2, `stall/${STALL_SECONDS}`),
  "download, HTTP/2 client of an HTTP/1.1 server": down("--http2", HTTP1),
  "the same, client stalls": slowDown("--http2", HTTP1),
  "upload, HTTP/2 client of an HTTP/1.1 server": up("--http2", HTTP1),
  "the same, server stalls": up("--http2", HTTP1, `stall/${STALL_SECONDS}`),
  "download, TLS not ended": down("--http1.1", "-k https://other.example.com"),
  "the same, client stalls ": slowDown("--http1.1", "-k https://other.example.com"),
  "upload, TLS not ended": up("--http1.1", "-k https://other.example.com"),
  "upload, TLS not ended, server stalls": up("--http1.1", "-k https://other.example.com", `stall/${STALL_SECONDS}`),
  "one stream": `perl /client/source.pl source.example.com ${SOURCE_PORT} ${SIZE}`,
  "WebSocket, 20 binary messages of 16 MB": talk(Array.from({ length: 20 }, () => "binary 16000000")),
  "WebSocket, 20 texts of 4 MB": `node -e 'for (let i = 0; i < 20; i++) console.log("x".repeat(4000000))' | node /client/client.mjs wss://cdn.example.net/large | wc -l`,
  "answer of a model, 30 MB": `${question()} | wc -c`,
  "30 answers of a model, 30 MB each, HTTP/2, clients stall": unread(30, "--http2"),
  "30 answers of a model, 30 MB each, HTTP/1.1, clients stall": unread(30, "--http1.1"),
  "60 answers of a model, 30 MB each, HTTP/1.1, clients stall": unread(60, "--http1.1"),
};

const SOURCE = `use IO::Socket::IP; my ($host, $port, $size) = @ARGV; my $s = IO::Socket::IP->new(PeerHost => "10.200.0.1", PeerPort => 3128) or die;
print $s "CONNECT $host:$port HTTP/1.1\\r\\nHost: $host:$port\\r\\n\\r\\n"; $s->flush; my $got = 0; my $sent = 0;
while ($got < $size) { my $n = sysread($s, my $b, 1 << 20); last unless $n; $got += $n; syswrite($s, "go") unless $sent++; } print "$got\\n";`;

export async function benchTransfers(shell: Installation): Promise<void> {
  const { net } = shell;
  await net.addZones({ "source.example.com": ["93.184.216.41"] });
  const model = await ModelServer.start(net);
  const routes = routesFile(
    net,
    `routes: [{ name: inference.local, endpoint: "${model.url}", model: real-model, protocols: [openai_chat_completions], api_key: sk-1234567890 }]`,
  );
  const file = shell.policy("transfers", policy);
  const client = join(net.directory, "transfer-client");
  mkdirSync(client, { recursive: true, mode: 0o755 });
  const built = await Bun.build({ entrypoints: [join(import.meta.dir, "../test/inspect/websocket-client.ts")], target: "node" });
  writeFileSync(join(client, "client.mjs"), (await built.outputs[0]?.text()) ?? "");
  writeFileSync(join(client, "source.pl"), SOURCE);
  const pattern = new RegExp(process.env["TRANSFER_CASES"] ?? "");
  for (const [name, script] of Object.entries(CASES)) {
    if (!pattern.test(name)) continue;
    const whole = `curl -sS -o /dev/null ${HTTP1}/small\necho idle; read go\n${script}\necho done; read go`;
    const flags = ["--policy", file, "--inference-routes", routes, "--mount", `${client}:/client:ro`];
    const program = await net.spawnOnHost([BINARY, "sandbox", "run", ...flags, "--", "/bin/sh", "-c", whole]);
    await program.waitForOutput(/^idle$/m);
    const memory = await ProgramMemory.of(net, program);
    // What the start has left behind is no part of it.
    await Bun.sleep(1000);
    memory.start();
    const idle = memory.now();
    let most = idle.own;
    await program.write("\n");
    const started = performance.now();
    const usedBefore = memory.processorSeconds();
    let over = false;
    const done = Promise.race([program.waitForOutput(/^done$/m), program.exited]).finally(() => {
      over = true;
    });
    while (!over) {
      most = Math.max(most, memory.now().own);
      await Bun.sleep(LOOK_MS);
    }
    await done.catch(() => undefined);
    const seconds = (performance.now() - started) / 1000;
    const grown = memory.growth();
    const after = memory.now();
    const used = memory.processorSeconds() - usedBefore;
    await program.write("\n");
    const { stdout, exitCode } = await program.exited;
    const said = stdout.trim().split("\n").slice(1, -1).slice(-3).join(" ").slice(0, 60);
    const mb = (kilobytes: number) => (kilobytes / 1024).toFixed(0).padStart(4);
    report(
      name,
      `idle ${mb(idle.resident)} MiB; grows ${mb(grown)}, its own by ${mb(most - idle.own)}; after ${mb(after.resident)}; ${seconds.toFixed(1)} s, ${used.toFixed(1)} s of a processor ${exitCode === 0 ? "" : `exit ${exitCode} `}${said}`,
    );
  }
  await model[Symbol.asyncDispose]();
}
