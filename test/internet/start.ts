/**
 * Makes the namespaces, the link between them and the two processes inside, then waits for both to end and removes their directory. All of
 * it hangs on our stdin, which the two processes share: when the test ends, in whatever way, they see its end.
 */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { close } from "../../src/linux/descriptors.ts";
import { enterNamespace, openOwnNamespace, unshare, withNewPidNamespace } from "../../src/linux/namespaces.ts";
import * as route from "../../src/linux/netlink/route.ts";
import { bindMount, makeMountsPrivate } from "./kernel.ts";
import { DNS_ADDRESS, HOST, INTERNET, PREFIX } from "./topology.ts";

interface Settings {
  readonly hosts: string | null;
}

const FAMILIES = ["ipv4", "ipv6"] as const;

/** One end of the cable, in the namespace that this thread is in. */
function configureLink(name: string, addresses: typeof HOST | typeof INTERNET): number {
  const index = route.interfaceIndex(name);
  route.disableLinkLocal(index); // its router solicitations would count as packets
  for (const family of FAMILIES) route.addAddress(index, addresses[family], PREFIX[family]);
  route.setLinkUp(route.LOOPBACK_INDEX);
  route.setLinkUp(index);
  return index;
}

/** Joins the two namespaces; ends in the host's. */
function joinNetworks(internet: number, host: number): void {
  enterNamespace(host, "net");
  route.addVethPair("world", "host", internet);
  enterNamespace(internet, "net");
  configureLink("host", INTERNET);
  route.addLocalPrefix("0.0.0.0", 0);
  route.addLocalPrefix("2000::", 3);
  enterNamespace(host, "net");
  const link = configureLink("world", HOST);
  for (const family of FAMILIES) route.addDefaultRoute(link, INTERNET[family]);
}

function openNetworkNamespace(): number {
  unshare("net");
  return openOwnNamespace("net");
}

/** /etc/resolv.conf and, when asked for, /etc/hosts as the host sees them. */
function replaceFiles(directory: string, { hosts }: Settings): void {
  const replace = (path: string, text: string) => {
    const own = join(directory, path.split("/").at(-1) ?? "");
    writeFileSync(own, text, { mode: 0o644 });
    bindMount(own, path);
  };
  replace("/etc/resolv.conf", `nameserver ${DNS_ADDRESS}\noptions timeout:2 attempts:1\n`);
  replace("/etc/hosts", hosts ?? "127.0.0.1 localhost\n::1 localhost\n");
}

function startProcess(script: string, directory: string) {
  return Bun.spawn({
    cmd: [process.execPath, join(import.meta.dir, script), directory],
    stdin: "inherit",
    stdout: "pipe",
    stderr: "inherit",
  });
}

async function ready(stdout: ReadableStream<Uint8Array>): Promise<void> {
  for await (const chunk of stdout) if (new TextDecoder().decode(chunk).includes("ready")) return;
  throw new Error("a process of the test internet ended early");
}

async function main(): Promise<void> {
  const internetNamespace = openNetworkNamespace();
  const hostNamespace = openNetworkNamespace();
  joinNetworks(internetNamespace, hostNamespace);
  if (process.argv[2] === "--probe") return;
  const directory = process.argv[2] ?? "";
  const settings = JSON.parse(process.argv[3] ?? "{}") as Settings;

  enterNamespace(internetNamespace, "net");
  const internet = startProcess("internet.ts", directory);
  enterNamespace(hostNamespace, "net");
  for (const descriptor of [internetNamespace, hostNamespace]) close(descriptor);

  unshare("mnt");
  makeMountsPrivate();
  replaceFiles(directory, settings);
  const host = withNewPidNamespace(() => startProcess("host.ts", directory));

  const ended = Promise.all([internet.exited, host.exited]);
  try {
    await Promise.all([ready(internet.stdout), ready(host.stdout)]);
    console.log("ready");
    await ended;
  } finally {
    for (const child of [internet, host]) child.kill("SIGKILL");
    await ended;
    rmSync(directory, { recursive: true, force: true });
  }
}

// Ctrl-C goes to the whole process group; our end is the end of stdin, so that everything is taken down in order.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
await main();
