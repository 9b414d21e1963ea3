/** One box in this process: starts of confined programs, and what each step of a connection costs. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { AddressSet } from "../src/address/address-set.ts";
import { PolicyEngine } from "../src/engine/policy-engine.ts";
import { formatShorthand } from "../src/events/shorthand.ts";
import { openBox } from "../src/modes/sandbox/box/open.ts";
import { boxSpec } from "../src/modes/sandbox/box-spec.ts";
import { childEnvironment } from "../src/modes/sandbox/child-environment.ts";
import { BinaryTrust } from "../src/modes/sandbox/proxy/binary-trust.ts";
import { allowedEvent } from "../src/modes/sandbox/proxy/decision-event.ts";
import { hostAddresses } from "../src/modes/sandbox/proxy/destination/own-addresses.ts";
import { checkDestination } from "../src/modes/sandbox/proxy/destination/permission.ts";
import { readHead } from "../src/modes/sandbox/proxy/http1/head.ts";
import { parsePolicyYaml } from "../src/policy/yaml.ts";
import { milliseconds, report, summarise } from "./statistics.ts";

const STARTS = 60;
/** Launches before the first that counts: a shim in reserve comes with the third. */
const WARM_UP = 3;
/** Milliseconds: a person's commands, and most of an agent's, do not come one behind the other. */
const PAUSE = 50;
const ROUNDS = 20_000;
const HOST = "93.184.216.34";

const POLICY = `version: 1
network_policies:
${Array.from({ length: 20 }, (_, index) => `  rule_${index}:\n    endpoints: [{ host: host-${index}.example.com, port: 443 }]\n    binaries: [{ path: /usr/bin/other }]\n`).join("")}  load:
    endpoints: [{ host: ${HOST}, port: 7 }]
    binaries: [{ path: /usr/bin/* }]
`;

/** Microseconds per call, the best of five series: the others had company on the processor. */
function cost(times: number, work: () => unknown): number {
  let best = Number.POSITIVE_INFINITY;
  for (let series = 0; series < 5; series++) {
    const from = Bun.nanoseconds();
    for (let i = 0; i < times; i++) work();
    best = Math.min(best, (Bun.nanoseconds() - from) / 1000 / times);
  }
  return best;
}

/** Prints what it measured; `directory` holds the box. */
export async function measure(directory: string): Promise<number> {
  const policy = parsePolicyYaml(POLICY, { source: "bench" });
  const place = {
    sandboxName: "bench",
    uid: 2_000_065_000,
    gid: 2_000_065_000,
    workspace: join(directory, "workspace"),
    runDirectory: join(directory, "run"),
    mounts: [],
  };
  for (const path of [place.workspace, place.runDirectory]) mkdirSync(path, { recursive: true });
  await using box = await openBox(boxSpec(policy, place));
  const environment = childEnvironment({ sandboxName: "bench", sandboxId: "", workspace: "default" });

  for (const [pause, how] of [
    [0, "one behind the other"],
    [PAUSE, `${PAUSE} ms apart`],
  ] as const) {
    const starts: number[] = [];
    const ends: number[] = [];
    for (let i = 0; i <= STARTS; i++) {
      if (pause > 0) await Bun.sleep(pause);
      const from = performance.now();
      const child = await box.launch({ argv: ["/bin/true"], environment, workdir: "/sandbox", stdio: "inherit" });
      const started = performance.now();
      await child.exited;
      if (i < WARM_UP) continue;
      starts.push(started - from);
      ends.push(performance.now() - from);
    }
    report(`confined /bin/true, ${how}, to its first instruction`, milliseconds(summarise(starts)));
    report(`confined /bin/true, ${how}, start to end`, milliseconds(summarise(ends)));
  }

  // A connection that stays, so that it can be asked about again and again.
  const accepted = Promise.withResolvers<{ address: string; port: number }>();
  const adopted = { fd: box.listeners.proxy } as unknown as { hostname: string; port: number };
  const listener = Bun.listen({
    ...adopted,
    socket: { open: (socket) => accepted.resolve({ address: socket.remoteAddress, port: socket.remotePort }), data() {} },
  });
  const client = await box.launch({
    argv: [
      "/usr/bin/perl",
      "-MIO::Socket::INET",
      "-e",
      "$s = IO::Socket::INET->new(PeerHost => '10.200.0.1', PeerPort => 3128) or die; sleep 600",
    ],
    environment,
    workdir: "/sandbox",
    stdio: "inherit",
  });
  const peer = await accepted.promise;
  const local = { address: "10.200.0.1", port: 3128 };
  const who = box.identify(peer, local);
  if (!who.known) throw new Error(who.reason);

  const engine = new PolicyEngine();
  engine.load(policy);
  const { exe, ancestors } = who.program;
  const query = { host: HOST, port: 7, exe, ancestors };
  const decision = engine.decide(query);
  if (!decision.allowed) throw new Error(decision.reason);
  using trust = new BinaryTrust();
  await trust.check(who.program);
  const head = Buffer.from(`CONNECT ${HOST}:7 HTTP/1.1\r\nHost: ${HOST}:7\r\nUser-Agent: curl/8.0\r\nProxy-Connection: Keep-Alive\r\n\r\n`);
  const destinations = { trusted: new AddressSet([]), ownAddresses: hostAddresses() };
  const intent = { method: "CONNECT", authority: { host: HOST, port: 7 }, stage: "connect" } as const;
  const verdict = { allowed: true, policy: "load", endpoints: decision.endpoints, addresses: [HOST], sha256: "", plan: "opaque" } as never;
  const actor = { binary: exe, pid: who.program.pid, ancestors };
  let unique = 0;

  report("  of a connection: its request head, read strictly", `${cost(ROUNDS, () => readHead(head)).toFixed(2)} µs`);
  report(
    "  its program: socket cookie by SOCK_DIAG, record of its connect(2)",
    `${cost(ROUNDS, () => box.identify(peer, local)).toFixed(2)} µs`,
  );
  report("  the policy's decision, asked before", `${cost(ROUNDS, () => engine.decide(query)).toFixed(2)} µs`);
  report("  the policy's decision, new", `${cost(2000, () => engine.decide({ ...query, ancestors: [`/a/${unique++}`] })).toFixed(2)} µs`);
  report("  trust on first use, known program", `${cost(ROUNDS, () => trust.check(who.program)).toFixed(2)} µs`);
  report(
    "  classes of the address, with the machine's own",
    `${cost(ROUNDS, () => checkDestination(HOST, 7, [HOST], decision.endpoints, destinations)).toFixed(2)} µs`,
  );
  report(
    "  its event as a line of the log",
    `${cost(ROUNDS, () => formatShorthand(allowedEvent(intent, actor, verdict, HOST))).toFixed(2)} µs`,
  );
  await dialCost();
  client.signal(9);
  await client.exited;
  listener.stop(true);
  return 0;
}

/** What the kernel and the runtime take for the sockets themselves: two accepted, two connected per tunnel; here one of each, on loopback. */
async function dialCost(): Promise<void> {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const times = 500;
  const from = Bun.nanoseconds();
  for (let i = 0; i < times; i++) {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port: server.port, socket: { data() {} } });
    socket.terminate();
  }
  report("  one connect and accept on loopback, by the runtime", `${((Bun.nanoseconds() - from) / 1000 / times).toFixed(1)} µs`);
  server.stop(true);
}
