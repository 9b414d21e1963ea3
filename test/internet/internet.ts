/** The internet's side: a process in its own network namespace where every address is local, so that its servers are everybody. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { TestCa } from "./certificates.ts";
import { serveChannel } from "./channel.ts";
import { serveDns, type Zone } from "./dns/server.ts";
import { countOpenConnections, countPackets, Remembered, type Seen } from "./seen.ts";
import { serveConnectProxy } from "./servers/connect-proxy.ts";
import { serveEcho } from "./servers/echo.ts";
import { serveGit } from "./servers/git-daemon.ts";
import { serveGrpc } from "./servers/grpc.ts";
import { serveHttp2 } from "./servers/h2.ts";
import { serveOdd } from "./servers/odd.ts";
import { startPostgres } from "./servers/postgres.ts";
import { sites } from "./servers/sites.ts";
import { serveSource } from "./servers/source.ts";
import { serveSshBanner } from "./servers/ssh-banner.ts";
import { startSshd } from "./servers/sshd.ts";
import { type Ledger, serveHttp, serveHttps } from "./servers/web.ts";
import {
  DNS_ADDRESS,
  ECHO_PORTS,
  GIT_PORT,
  GRPC_PORT,
  HTTP_PORTS,
  HTTP2_PORT,
  HTTPS_PORTS,
  PROXY_PORTS,
  SOURCE_PORT,
  SSH_PORT,
} from "./topology.ts";

async function main(): Promise<void> {
  const directory = process.argv[2] ?? "";
  const ledger: Ledger = { connections: new Remembered(), requests: new Remembered() };
  const ca = await TestCa.create();
  writeFileSync(join(directory, "ca.pem"), ca.certificate);
  const dns = await serveDns(DNS_ADDRESS, {});
  const known = sites(directory);
  for (const port of HTTP_PORTS) await serveHttp(port, ledger, known);
  for (const port of HTTPS_PORTS) await serveHttps(port, ca, ledger, known);
  await serveHttp2(HTTP2_PORT, "h2.example.com", ca, ledger);
  await serveGrpc(GRPC_PORT, ledger);
  await serveGit(GIT_PORT, join(directory, "git"), ledger);
  await serveSshBanner(SSH_PORT, ledger);
  await serveOdd(ledger);
  await serveConnectProxy(PROXY_PORTS.open, { guarded: false, ledger });
  await serveConnectProxy(PROXY_PORTS.guarded, { guarded: true, ledger });
  await serveConnectProxy(PROXY_PORTS.secure, { guarded: true, ledger, ca });
  serveSource(SOURCE_PORT);
  for (const port of ECHO_PORTS) serveEcho(port, ledger);
  await serveChannel(join(directory, "internet.sock"), {
    zones: (zone: Zone) => dns.set(zone),
    postgres: ({ port, name }: { port: number; name: string | null }) => startPostgres(directory, port, name, ca),
    sshd: ({ port }: { port: number }) => startSshd(directory, port),
    seen: (): Seen => ({
      connections: ledger.connections.items,
      requests: ledger.requests.items,
      questions: dns.questions,
      packets: countPackets(),
      open: countOpenConnections(),
    }),
  });
  console.log("ready");
  // The test holds the other end of stdin. Its end, however it comes, is ours.
  process.stdin.on("end", () => process.exit(0)).resume();
}

// Ctrl-C goes to the whole process group; our end is the end of stdin, so that everything is taken down in order.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
await main();
