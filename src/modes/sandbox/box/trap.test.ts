import { afterEach, expect, test } from "bun:test";
import { eventually } from "../../../../test/eventually.ts";
import { parseDatagram, parsePacket } from "../../../linux/bpf/packet.ts";
import { SNAPSHOT_BYTES } from "../../../linux/bpf/packet-filter.ts";
import { droppedPackets, receivePacket } from "../../../linux/bpf/packet-socket.ts";
import { sendFrom } from "../../../linux/datagram-reply.ts";
import { closeAll, duplicate } from "../../../linux/descriptors.ts";
import { findTcpSocket, TCP_CLOSE_WAIT, TCP_ESTABLISHED } from "../../../linux/netlink/sock-diag.ts";
import { pidfdGetfd, pidfdOpen } from "../../../linux/pidfd.ts";
import { syscallNumber } from "../../../linux/syscall-numbers.ts";
import { WATCH_QUEUE } from "./net-addresses.ts";
import { openTrap, type Trap } from "./trap.ts";

const afterwards: (() => void)[] = [];
afterEach(() => {
  for (const end of afterwards.splice(0).reverse()) end();
});

async function open(): Promise<Trap> {
  const trap = await openTrap();
  afterwards.push(() => trap[Symbol.dispose]());
  return trap;
}

/** Serves a listener until the end of the test. */
function serve(fd: number, accepted: (socket: Bun.Socket) => void): void {
  const server = Bun.listen({ fd: duplicate(fd), socket: { open: accepted, data() {} } } as unknown as Parameters<typeof Bun.listen>[0]);
  afterwards.push(() => server.stop(true));
}

/** A trap, and whose descriptors it is made of if not ours. */
type Place = Pick<Trap, "boxNamespace"> & { readonly process?: number };

const enter = (place: Place, command: string[]) => [
  "nsenter",
  `--net=/proc/${place.process ?? process.pid}/fd/${place.boxNamespace}`,
  ...command,
];

async function perl(trap: Place, script: string): Promise<string[]> {
  const program = Bun.spawn(enter(trap, ["/usr/bin/perl", "-MIO::Socket::IP", "-MSocket=:all", "-e", script]), { stdout: "pipe" });
  return (await new Response(program.stdout).text()).trim().split("\n");
}

/** Prints what became of a connection: what it read, or the error. */
const ATTEMPT = `sub attempt { my $s = IO::Socket::IP->new(PeerHost => $_[0], PeerPort => $_[1], Timeout => 2) or return print "$!\\n";
  my $n = sysread($s, my $text, 100); print defined $n ? $text : $!, "\\n" }`;

const packets = (fd: number) => {
  const list: string[] = [];
  const buffer = Buffer.alloc(SNAPSHOT_BYTES);
  for (let size = receivePacket(fd, buffer); size !== undefined; size = receivePacket(fd, buffer)) {
    const packet = parsePacket(buffer.subarray(0, size));
    list.push(`${packet?.source.address} ${packet?.destination.address} ${packet?.destination.port}`);
  }
  return list;
};

const facts = (trap: Trap, socket: Bun.Socket) =>
  findTcpSocket(
    trap.diagnostics,
    { address: socket.remoteAddress, port: socket.remotePort },
    { address: socket.localAddress, port: socket.localPort },
  );

test("the proxy's address and port reach the proxy's listener, and the kernel knows the caller's socket", async () => {
  const trap = await open();
  const peers: string[] = [];
  serve(trap.listeners.proxy, (socket) => {
    peers.push(`${socket.remoteAddress} ${socket.localAddress}:${socket.localPort}`);
    const found = facts(trap, socket);
    socket.end(`state ${found?.state} cookie ${(found?.cookie ?? 0n) > 0n}`);
  });
  const [answer] = await perl(trap, `${ATTEMPT} attempt("10.200.0.1", 3128)`);
  expect(answer).toMatch(new RegExp(`^state (${TCP_ESTABLISHED}|${TCP_CLOSE_WAIT}) cookie true$`));
  expect(peers).toEqual(["10.200.0.2 10.200.0.1:3128"]);
});

test("every other port of every address reaches the capture's listeners, with the original destination and the caller's socket", async () => {
  const trap = await open();
  const { proxy, captured } = trap.listeners;
  expect({ problems: trap.problems, families: captured.length }).toEqual({ problems: {}, families: 2 });
  const wanted: [string, number][] = [
    ["93.184.216.34", 22],
    ["93.184.216.34", 443],
    ["93.184.216.34", 3128],
    ["10.1.2.3", 5432],
    ["169.254.169.254", 80],
    ["10.200.0.1", 22],
    ["10.200.0.1", 65_535],
    ["2606:2800::1", 6379],
    ["fd12:3456::1", 1],
    ["64:ff9b::1.2.3.4", 80],
    ["fd00::1", 3128],
  ];
  let atProxy = 0;
  serve(proxy, () => void atProxy++);
  for (const fd of captured)
    serve(fd, (socket) => {
      const known = (facts(trap, socket)?.cookie ?? 0n) > 0n;
      socket.end(`${socket.localAddress} ${socket.localPort} from ${socket.remoteAddress} known ${known}`);
    });
  const calls = wanted.map(([address, port]) => `attempt("${address}", ${port});`).join("\n");
  const canonical = (address: string) => (address.startsWith("64:") ? "64:ff9b::102:304" : address);
  const from = (address: string) => (address.includes(":") ? "fd00::2" : "10.200.0.2");
  expect(await perl(trap, ATTEMPT + calls)).toEqual(
    wanted.map(([address, port]) => `${canonical(address)} ${port} from ${from(address)} known true`),
  );
  expect(atProxy).toBe(0);
  const seen = wanted.map(([address, port]) => `${from(address)} ${canonical(address)} ${port}`);
  expect(packets(trap.watch!.tcp)).toEqual(seen);
});

test("where BPF may not be loaded, other ports are refused at once, seen, and the reason is told", async () => {
  // A process of its own, since a filter cannot be taken back.
  const script = `
    const { FilterAssembler } = require("${import.meta.dir}/../../../linux/seccomp/assembler.ts");
    const { installFilter } = require("${import.meta.dir}/../../../linux/seccomp/install.ts");
    const { openTrap } = require("${import.meta.dir}/trap.ts");
    const [EPERM, ALLOW] = [0x00050001, 0x7fff0000];
    installFilter(new FilterAssembler().load(0).ifEqual(${syscallNumber("bpf", process.arch as "x64")}, "deny").return(ALLOW).label("deny").return(EPERM).assemble());
    const trap = await openTrap();
    console.log(JSON.stringify({ pid: process.pid, ...trap }));
    for await (const _ of process.stdin) ;`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdin: "pipe", stdout: "pipe" });
  afterwards.push(() => child.kill());
  const { value } = await child.stdout.getReader().read();
  const trap = JSON.parse(Buffer.from(value ?? []).toString()) as Trap & { pid: number };
  expect(trap.problems.capture).toContain("EPERM");
  expect(trap.listeners.captured).toEqual([]);
  const calls = ["10.200.0.1", "93.184.216.34", "2606:2800::1"].map((address) => `attempt("${address}", 443);`).join("");
  expect(await perl({ ...trap, process: child.pid }, ATTEMPT + calls)).toEqual(Array.from({ length: 3 }, () => "Connection refused"));
  const pidfd = pidfdOpen(child.pid);
  const watch = pidfdGetfd(pidfd, trap.watch!.tcp);
  afterwards.push(() => closeAll([pidfd, watch]));
  expect(packets(watch)).toEqual(["10.200.0.2 10.200.0.1 443", "10.200.0.2 93.184.216.34 443", "fd00::2 2606:2800::1 443"]);
});

test("threat-26 a forged source address reaches no listener", async () => {
  const trap = await open();
  let accepted = 0;
  for (const fd of [trap.listeners.proxy, ...trap.listeners.captured]) serve(fd, () => void accepted++);
  const IPV6_FREEBIND = 78;
  // The kernel asks for the trap's link address only in its own name: an honest packet first.
  await perl(trap, `IO::Socket::IP->new(PeerHost => "2606:2800::1", PeerPort => 9, Proto => "udp")->send("x")`);
  const script = `socket(my $s, AF_INET6, SOCK_STREAM, 0) or die; setsockopt($s, 41, ${IPV6_FREEBIND}, 1) or die;
    bind($s, pack_sockaddr_in6(0, inet_pton(AF_INET6, "2001:db8::5"))) or die "bind: $!"; $SIG{ALRM} = sub { print "no answer\\n"; exit }; alarm 1;
    print connect($s, pack_sockaddr_in6(80, inet_pton(AF_INET6, "2606:2800::1"))) ? "connected\\n" : "$!\\n";`;
  expect(await perl(trap, script)).toEqual(["no answer"]);
  expect(accepted).toBe(0);
  expect(new Set(packets(trap.watch!.tcp))).toEqual(new Set(["2001:db8::5 2606:2800::1 80"]));
});

test("threat-30 UDP is refused and seen, and of a flood a bounded number is kept and the rest counted", async () => {
  const trap = await open();
  const send = `my $s = IO::Socket::IP->new(PeerHost => $_[0], PeerPort => 123, Proto => "udp"); syswrite($s, "x"); print sysread($s, my $b, 9) // $!, "\\n";`;
  expect(await perl(trap, `sub ask { ${send} } ask("8.8.8.8"); ask("2001:4860::8888")`)).toEqual([
    "Connection refused",
    "Connection refused",
  ]);
  expect(packets(trap.watch!.udp)).toEqual(["10.200.0.2 8.8.8.8 123", "fd00::2 2001:4860::8888 123"]);
  const FLOOD = 20_000;
  await perl(
    trap,
    `socket(my $s, AF_INET, SOCK_DGRAM, 0); my $to = pack_sockaddr_in(9, inet_aton("8.8.4.4")); send($s, "x", 0, $to) for 1..${FLOOD}`,
  );
  const kept = packets(trap.watch!.udp).length;
  const dropped = droppedPackets(trap.watch!.udp);
  expect(kept).toBeGreaterThanOrEqual(WATCH_QUEUE);
  expect(kept).toBeLessThan(4 * WATCH_QUEUE);
  expect(kept + dropped).toBe(FLOOD);
  expect(droppedPackets(trap.watch!.udp)).toBe(0);
});

test("questions for names arrive whoever is asked, and are answered from the address that was asked; forged ones and answers do not arrive", async () => {
  const trap = await open();
  const resolver = trap.resolver!;
  const question = `pack("n6", 7, 256, 1, 0, 0, 0) . "\\1a\\0" . pack("n2", 1, 1)`;
  const IPV6_FREEBIND = 78;
  await perl(
    trap,
    `my $q = ${question}; my $answer = $q; substr($answer, 2, 1) = "\\x81";
     sub out { my ($family, $to, $from, $text) = @_; socket(my $s, $family, SOCK_DGRAM, 0); setsockopt($s, 41, ${IPV6_FREEBIND}, 1); setsockopt($s, 1, 6, 1);
       bind($s, $from) or die "bind: $!" if $from; send($s, $text, 0, $to) }
     my $v4 = sub { pack_sockaddr_in($_[1], inet_aton($_[0])) }; my $v6 = sub { pack_sockaddr_in6($_[1], inet_pton(AF_INET6, $_[0])) };
     out(AF_INET, $v4->("8.8.8.8", 53), 0, $q); out(AF_INET6, $v6->("2001:4860::8888", 53), 0, $q); out(AF_INET, $v4->("10.200.0.1", 53), 0, $q);
     out(AF_INET, $v4->("8.8.8.8", 53), 0, $answer); out(AF_INET, $v4->("8.8.8.8", 53), $v4->("0.0.0.0", 53), $q);
     out(AF_INET6, $v6->("2001:4860::8888", 53), $v6->("2001:db8::5", 5353), $q); out(AF_INET6, $v6->("2001:4860::8888", 53), $v6->("::", 1023), $q);
     out(AF_INET, $v4->($_, 53), 0, $q) for "224.0.0.251", "255.255.255.255", "10.200.0.255", "169.254.1.1"; out(AF_INET, $v4->("8.8.8.8", 54), 0, $q);`,
  );
  const received: (string | undefined)[] = [];
  const buffer = Buffer.alloc(2048);
  for (let size = receivePacket(resolver.packets, buffer); size !== undefined; size = receivePacket(resolver.packets, buffer))
    received.push(parseDatagram(buffer.subarray(0, size))?.destination.address);
  expect(received).toEqual(["8.8.8.8", "2001:4860::8888", "10.200.0.1"]);
  // Everything else is an attempt like any other, and seen as such.
  expect(packets(trap.watch!.udp).length).toBeGreaterThan(0);

  const ask = Bun.spawn(
    enter(trap, [
      "/usr/bin/perl",
      "-MIO::Socket::IP",
      "-e",
      `$| = 1; alarm 30; for my $server ("9.9.9.9", "2620:fe::fe") { my $s = IO::Socket::IP->new(PeerHost => $server, PeerPort => 53, Proto => "udp") or die;
        syswrite $s, ${question}; sysread $s, my $text, 99; print "$text\n" }`,
    ]),
    { stdout: "pipe" },
  );
  for (const _ of [1, 2]) {
    const size = await eventually("a question", 10_000, async () => receivePacket(resolver.packets, buffer));
    const { source, destination } = parseDatagram(buffer.subarray(0, size))!;
    const [fd, elsewhere] = destination.address.includes(":") ? [resolver.ipv6!, "2606:2800::1"] : [resolver.ipv4, "93.184.216.34"];
    sendFrom(fd, elsewhere, source, Buffer.from("from elsewhere"));
    expect(sendFrom(fd, destination.address, source, Buffer.from(destination.address))).toBe(true);
  }
  expect(await new Response(ask.stdout).text()).toBe("9.9.9.9\n2620:fe::fe\n");
});

test("the box may use every port itself", async () => {
  const trap = await open();
  const listen = `for my $port (80, 443, 3128, 8080) { IO::Socket::IP->new(LocalHost => $_[0], LocalPort => $port, Listen => 1) or print "$port $!\\n" }`;
  expect(await perl(trap, `sub hold { ${listen} } hold("0.0.0.0"); hold("10.200.0.2"); hold("::"); print "done\\n"`)).toEqual(["done"]);
});

test("TCP Fast Open is off and the cable has no link-local address", async () => {
  const trap = await open();
  const output = async (...command: string[]) => new Response(Bun.spawn(enter(trap, command), { stdout: "pipe" }).stdout).text();
  expect((await output("cat", "/proc/sys/net/ipv4/tcp_fastopen")).trim()).toBe("0");
  expect(await output("cat", "/proc/net/if_inet6")).not.toContain("fe80");
});

test("a question about no connection never names a listener", async () => {
  const trap = await open();
  expect(findTcpSocket(trap.diagnostics, { address: "10.200.0.2", port: 40_000 }, { address: "10.200.0.1", port: 3128 })).toBeUndefined();
});
