/** The watch of a real trap: programs in the box try, and events come. */
import { afterEach, expect, test } from "bun:test";
import { eventually } from "../../../../../test/eventually.ts";
import type { NetworkEvent, SecurityEvent } from "../../../../events/event.ts";
import { duplicate } from "../../../../linux/descriptors.ts";
import { openTrap, type Trap } from "../../box/trap.ts";
import { BypassWatch } from "./bypass-watch.ts";

const afterwards: (() => void)[] = [];
afterEach(() => {
  for (const end of afterwards.splice(0).reverse()) end();
});

async function watch(capturing: boolean) {
  const trap = await openTrap();
  const events: SecurityEvent[] = [];
  const { watch: sockets } = trap;
  const watching = new BypassWatch({ sockets: sockets!, capturing, emit: (event) => events.push(event) });
  afterwards.push(
    () => trap[Symbol.dispose](),
    () => watching[Symbol.dispose](),
  );
  return { trap, watching, events };
}

async function perl(trap: Trap, script: string): Promise<void> {
  const command = ["nsenter", `--net=/proc/${process.pid}/fd/${trap.boxNamespace}`, "/usr/bin/perl", "-MSocket=:all", "-e", script];
  expect(await Bun.spawn(command).exited).toBe(0);
}

const CONNECT = `sub attempt { socket(my $s, AF_INET, SOCK_STREAM, 0); connect($s, pack_sockaddr_in($_[1], inet_aton($_[0]))) }`;

test("without capture every opening packet is an event without a program", async () => {
  const { trap, events } = await watch(false);
  await perl(trap, `${CONNECT} attempt("93.184.216.34", 22); attempt("10.200.0.1", 3128);`);
  const event = await eventually("an event", 5000, async () => events[0]);
  expect(event).toMatchObject({
    kind: "network",
    activity: "refuse",
    action: "denied",
    host: "93.184.216.34",
    port: 22,
    protocol: "tcp",
    engine: "bypass",
    stage: "bypass",
    reason: expect.stringContaining("HTTP_PROXY/HTTPS_PROXY"),
  });
  expect((event as NetworkEvent).actor).toBeUndefined();
});

test("with capture what was accepted is not told again, and what was not is", async () => {
  const { trap, watching, events } = await watch(true);
  const servers = trap.listeners.captured.map((fd) => {
    const open = (socket: Bun.Socket) => {
      const peer = { address: socket.remoteAddress, port: socket.remotePort };
      if (socket.localPort === 22) watching.accepted(peer, { address: socket.localAddress, port: socket.localPort });
      socket.terminate();
    };
    return Bun.listen({ fd: duplicate(fd), socket: { open, data() {} } } as unknown as Parameters<typeof Bun.listen>[0]);
  });
  afterwards.push(() => servers.forEach((server) => void server.stop(true)));
  await perl(trap, `${CONNECT} attempt("93.184.216.34", 22); attempt("93.184.216.34", 25);`);
  const event = await eventually("an event", 6000, async () => events[0]);
  expect(event).toMatchObject({ host: "93.184.216.34", port: 25 });
  expect(events).toHaveLength(1);
});

test("threat-30 of a flood some are events and the rest is a number", async () => {
  const { trap, events } = await watch(true);
  await perl(
    trap,
    `socket(my $s, AF_INET, SOCK_DGRAM, 0); my $to = pack_sockaddr_in(9, inet_aton("8.8.4.4")); send($s, "x", 0, $to) for 1 .. 5000`,
  );
  const counted = () => events.filter(({ kind }) => kind === "finding");
  const finding = await eventually("the number", 5000, async () => counted()[0]);
  const shown = events.filter(({ kind }) => kind === "network").length;
  expect(finding).toMatchObject({ id: "bypass-overflow", evidence: { tcp: "0", udp: expect.stringMatching(/^\d+$/) } });
  expect(shown).toBeGreaterThan(0);
  expect(shown).toBeLessThanOrEqual(100);
});

test("after a quiet time the next attempt is seen as the first was, of either protocol", async () => {
  const { trap, events } = await watch(false);
  const ports = () => events.map((event) => (event as NetworkEvent).port);
  for (const [round, port] of [22, 23].entries()) {
    await perl(trap, `${CONNECT} attempt("93.184.216.34", ${port});`);
    await perl(trap, `socket(my $s, AF_INET, SOCK_DGRAM, 0); send($s, "x", 0, pack_sockaddr_in(${port + 100}, inet_aton("8.8.4.4")))`);
    await eventually("both events", 10_000, async () => (events.length === 2 * (round + 1) ? true : undefined));
    // Longer than the looks go on; what follows holds either way.
    if (round === 0) await Bun.sleep(3000);
  }
  expect(ports().sort()).toEqual([122, 123, 22, 23]);
}, 40_000);
