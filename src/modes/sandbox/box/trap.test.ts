import { expect, test } from "bun:test";
import { findTcpSocket, TCP_CLOSE_WAIT, TCP_ESTABLISHED } from "../../../linux/netlink/sock-diag.ts";
import { openTrap } from "./trap.ts";

const inside = (namespace: number, script: string) =>
  Bun.spawn(["nsenter", `--net=/proc/${process.pid}/fd/${namespace}`, "/usr/bin/perl", "-MIO::Socket::INET", "-e", script], {
    stdout: "pipe",
  });

test("the box reaches the proxy's listener and nothing else", async () => {
  using trap = await openTrap();
  const peers: string[] = [];
  const server = Bun.listen({
    fd: trap.listeners.proxy,
    socket: {
      open(socket: Bun.Socket) {
        peers.push(`${socket.remoteAddress} ${socket.localAddress}:${socket.localPort}`);
        const facts = findTcpSocket(
          trap.diagnostics,
          { address: socket.remoteAddress, port: socket.remotePort },
          { address: socket.localAddress, port: socket.localPort },
        );
        socket.end(`state ${facts?.state} cookie ${(facts?.cookie ?? 0n) > 0n}\n`);
      },
      data() {},
    },
  } as unknown as Parameters<typeof Bun.listen>[0]);
  try {
    const script = `
      sub attempt { my $s = IO::Socket::INET->new(PeerAddr => $_[0], Timeout => 2); print $s ? <$s> : "$!\\n" }
      attempt("10.200.0.1:3128"); attempt("10.200.0.1:22"); attempt("93.184.216.34:443"); attempt("169.254.169.254:80");`;
    const output = await new Response(inside(trap.boxNamespace, script).stdout).text();
    const [proxied, ...others] = output.trim().split("\n");
    expect(proxied).toMatch(new RegExp(`^state (${TCP_ESTABLISHED}|${TCP_CLOSE_WAIT}) cookie true$`));
    expect(others).toEqual(["Connection refused", "Connection refused", "Connection refused"]);
    expect(peers).toEqual(["10.200.0.2 10.200.0.1:3128"]);
  } finally {
    server.stop(true);
  }
});

test("TCP Fast Open is off and the cable has no link-local address", async () => {
  using trap = await openTrap();
  const enter = (command: string[]) =>
    Bun.spawn(["nsenter", `--net=/proc/${process.pid}/fd/${trap.boxNamespace}`, ...command], { stdout: "pipe" });
  expect((await new Response(enter(["cat", "/proc/sys/net/ipv4/tcp_fastopen"]).stdout).text()).trim()).toBe("0");
  expect(await new Response(enter(["cat", "/proc/net/if_inet6"]).stdout).text()).not.toContain("fe80");
});

test("a question about no connection never names a listener", async () => {
  using trap = await openTrap();
  const facts = findTcpSocket(trap.diagnostics, { address: "10.200.0.2", port: 40_000 }, { address: "10.200.0.1", port: 3128 });
  expect(facts).toBeUndefined();
});
