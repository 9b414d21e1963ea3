/** Other proxies on the same machine: started for one run, without any policy, on the host of the test internet. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Installation } from "../test/e2e/installation.ts";

export interface Peer {
  readonly name: string;
  readonly port: string;
  /** Each has its own upstream address, so that closed connections do not use up the local ports of one address pair. */
  readonly target: string;
  stop(): Promise<void>;
}

interface PeerKind {
  readonly name: string;
  /** Debian package. */
  readonly package: string;
  readonly port: number;
  readonly target: string;
  readonly configuration: string;
  command(configuration: string): readonly string[];
}

const KINDS: readonly PeerKind[] = [
  {
    name: "tinyproxy",
    package: "tinyproxy-bin",
    port: 8888,
    target: "93.184.216.35",
    configuration: "Port 8888\nListen 127.0.0.1\nTimeout 600\nMaxClients 512\nLogLevel Error\n",
    command: (configuration) => ["tinyproxy", "-d", "-c", configuration],
  },
  {
    name: "squid",
    package: "squid",
    port: 3129,
    target: "93.184.216.37",
    // As lean as it gets: no cache, no logs, no other helper processes.
    configuration: `http_port 127.0.0.1:3129
http_access allow all
cache deny all
access_log none
cache_log /dev/null
cache_store_log none
pid_filename none
pinger_enable off
netdb_filename none
shutdown_lifetime 0 seconds
max_filedescriptors 16384
`,
    command: (configuration) => ["squid", "-N", "-f", configuration],
  },
];

/** The program, installed when the machine can; the reason when that cannot be. */
function obtain({ name, package: debian }: PeerKind): string | undefined {
  if (Bun.which(name) !== null) return undefined;
  // squid's package starts a service of the machine; that is for its owner to want.
  if (debian !== "tinyproxy-bin" || Bun.which("apt-get") === null) return `not installed (Debian package ${debian})`;
  const { exitCode } = Bun.spawnSync({
    cmd: ["apt-get", "install", "-y", "--no-install-recommends", debian],
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  return exitCode === 0 ? undefined : `not installed, and 'apt-get install ${debian}' failed`;
}

/** Starts every proxy that this machine has; `absent` hears of the others. */
export async function startPeers(shell: Installation, absent: (name: string, why: string) => void): Promise<Peer[]> {
  const peers: Peer[] = [];
  for (const kind of KINDS) {
    const missing = obtain(kind);
    if (missing !== undefined) {
      absent(kind.name, missing);
      continue;
    }
    const configuration = join(shell.directory, `${kind.name}.conf`);
    writeFileSync(configuration, kind.configuration);
    const program = await shell.net.spawnOnHost(kind.command(configuration), { env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" } });
    const hexPort = kind.port.toString(16).toUpperCase().padStart(4, "0");
    const up = await shell.net.runOnHost([
      "/bin/sh",
      "-c",
      `for i in $(seq 200); do grep -q ':${hexPort} 0' /proc/net/tcp && exit 0; sleep 0.05; done; exit 1`,
    ]);
    if (up.exitCode !== 0) {
      absent(kind.name, `did not start: ${program.stdout}${program.stderr}`.trim());
      await program.kill().catch(() => undefined);
      continue;
    }
    peers.push({
      name: kind.name,
      port: String(kind.port),
      target: kind.target,
      async stop() {
        await program.kill("SIGKILL").catch(() => undefined);
      },
    });
  }
  return peers;
}
