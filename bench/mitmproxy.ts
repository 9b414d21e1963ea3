/** mitmproxy (Debian) as a peer of inspection: it ends TLS and reads requests as well, without any policy. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Installation } from "../test/e2e/installation.ts";

const PORT = 8889;

export interface Inspector {
  readonly port: string;
  /** Certificate of the authority that its leaves come from. */
  readonly caFile: string;
  stop(): Promise<void>;
}

/** Starts it on the host of the test internet; a text says why it cannot be a peer. */
export async function startMitmproxy(shell: Installation): Promise<Inspector | string> {
  if (Bun.which("mitmdump", { PATH: `${process.env["PATH"] ?? ""}:/usr/bin` }) === null) return "not installed (Debian package mitmproxy)";
  const directory = join(shell.directory, "mitmproxy");
  mkdirSync(directory, { recursive: true });
  const settings = [`confdir=${directory}`, `ssl_verify_upstream_trusted_ca=${shell.net.caFile}`, "connection_strategy=lazy"];
  const program = await shell.net.spawnOnHost(
    ["mitmdump", "-q", "--listen-host", "127.0.0.1", "-p", String(PORT), ...settings.flatMap((setting) => ["--set", setting])],
    { env: { HOME: directory, LANG: "C.UTF-8", LC_ALL: "C.UTF-8" } },
  );
  const hexPort = PORT.toString(16).toUpperCase().padStart(4, "0");
  const up = await shell.net.runOnHost([
    "/bin/sh",
    "-c",
    `for i in $(seq 1200); do grep -q ':${hexPort} 0' /proc/net/tcp && exit 0; sleep 0.05; done; exit 1`,
  ]);
  const caFile = join(directory, "mitmproxy-ca-cert.pem");
  if (up.exitCode !== 0 || !existsSync(caFile)) {
    await program.kill("SIGKILL").catch(() => undefined);
    return `does not start here: ${(program.stderr || program.stdout).trim().split("\n").at(-1)}`;
  }
  return { port: String(PORT), caFile, stop: () => program.kill("SIGKILL").catch(() => undefined) };
}
