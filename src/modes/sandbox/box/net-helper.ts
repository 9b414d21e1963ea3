import { existsSync, writeFileSync, writeSync } from "node:fs";
import { OpenShellError } from "../../../error.ts";
import { readInto } from "../../../linux/descriptors.ts";
import { listenTcp } from "../../../linux/listener.ts";
import { enterNamespace, openOwnNamespace, unshare } from "../../../linux/namespaces.ts";
import {
  addAddress,
  addDefaultRoute,
  addLocalLastResort,
  addLocalPrefix,
  addVethPair,
  disableLinkLocal,
  interfaceIndex,
  LOOPBACK_INDEX,
  setLinkUp,
} from "../../../linux/netlink/route.ts";
import { NETLINK_SOCK_DIAG, openNetlink } from "../../../linux/netlink/socket.ts";
import { boxAddresses, IPV4_PREFIX_LENGTH, IPV6_PREFIX_LENGTH, PROXY_BACKLOG, PROXY_PORT, trapAddresses } from "./net-addresses.ts";
import { listenInTrap } from "./port-helper.ts";
import {
  type CaptureDescriptors,
  openCapture,
  openResolver,
  openWatch,
  type ResolverDescriptors,
  type WatchDescriptors,
} from "./trap-sockets.ts";
import { toWireError, type WireError } from "./wire-error.ts";

/** Descriptor numbers of the helper, for the supervisor to take. */
export interface NetHelperDescriptors {
  /** The network namespace of the agent. */
  readonly box: number;
  /** A SOCK_DIAG socket inside it. */
  readonly diagnostics: number;
  readonly proxy: number;
  /** Every other port; absent where the kernel does not let us. */
  readonly capture?: CaptureDescriptors;
  /** The trap's own namespace, for listeners of single ports; only in its place. */
  readonly trap?: number;
  readonly watch?: WatchDescriptors;
  readonly resolver?: ResolverDescriptors;
}

/** Why something is absent. */
export interface NetHelperProblems {
  readonly capture?: string;
  readonly watch?: string;
  readonly resolver?: string;
}

export type NetHelperAnswer = { readonly fds: NetHelperDescriptors; readonly problems: NetHelperProblems } | { readonly error: WireError };

/**
 * Makes the box and the trap and everything in them, prints the descriptor numbers as one line of JSON, and waits until the supervisor
 * has taken them: end of file on standard input.
 */
export async function main([task, ...words]: readonly string[] = []): Promise<number> {
  if (task === "listen") return listenInTrap(words);
  try {
    const answer: NetHelperAnswer = makeNamespaces();
    writeSync(1, `${JSON.stringify(answer)}\n`);
    readInto(0, new Uint8Array(1));
    return 0;
  } catch (reason) {
    writeSync(1, `${JSON.stringify({ error: toWireError(reason) } satisfies NetHelperAnswer)}\n`);
    return 1;
  }
}

function makeNamespaces(): { readonly fds: NetHelperDescriptors; readonly problems: NetHelperProblems } {
  unshare("net");
  const box = openOwnNamespace("net");
  const diagnostics = openNetlink(NETLINK_SOCK_DIAG);
  setLinkUp(LOOPBACK_INDEX);
  writeSetting("/proc/sys/net/ipv4/tcp_fastopen", "0");
  // The agent may listen on any port of its own namespace; nobody else is there.
  writeSetting("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
  writeSetting("/proc/sys/net/ipv6/conf/all/disable_ipv6", "0");
  const ipv6 = existsSync("/proc/thread-self/net/if_inet6");

  unshare("net");
  writeSetting("/proc/sys/net/ipv6/conf/all/disable_ipv6", "0");
  setLinkUp(LOOPBACK_INDEX);
  addVethPair("trap0", "box0", box);
  configureEnd("trap0", trapAddresses, ipv6);
  // Every address is local to the trap and it has no other link: packets of the box have nowhere else to go.
  addLocalPrefix("0.0.0.0", 0);
  if (ipv6) addLocalLastResort();
  const proxy = listenTcp(trapAddresses.ipv4, PROXY_PORT, PROXY_BACKLOG);
  // Without these every other port is refused at once all the same: only who tried it is not known.
  const capture = attempt(() => openCapture(ipv6));
  const trapIndex = interfaceIndex("trap0");
  const resolver = attempt(() => openResolver(trapIndex, ipv6));
  const watch = attempt(() => openWatch(trapIndex, resolver.made !== undefined));
  const trap = capture.made === undefined ? openOwnNamespace("net") : undefined;

  enterNamespace(box, "net");
  const index = configureEnd("box0", boxAddresses, ipv6);
  addDefaultRoute(index, trapAddresses.ipv4);
  if (ipv6) addDefaultRoute(index, trapAddresses.ipv6);
  return {
    fds: {
      box,
      diagnostics,
      proxy,
      ...(capture.made && { capture: capture.made }),
      ...(trap === undefined ? {} : { trap }),
      ...(watch.made && { watch: watch.made }),
      ...(resolver.made && { resolver: resolver.made }),
    },
    problems: {
      ...(capture.problem && { capture: capture.problem }),
      ...(watch.problem && { watch: watch.problem }),
      ...(resolver.problem && { resolver: resolver.problem }),
    },
  };
}

function attempt<T>(make: () => T): { readonly made?: T; readonly problem?: string } {
  try {
    return { made: make() };
  } catch (reason) {
    return { problem: OpenShellError.from(reason).message };
  }
}

function configureEnd(name: string, addresses: { readonly ipv4: string; readonly ipv6: string }, ipv6: boolean): number {
  const index = interfaceIndex(name);
  if (ipv6) disableLinkLocal(index);
  addAddress(index, addresses.ipv4, IPV4_PREFIX_LENGTH);
  if (ipv6) addAddress(index, addresses.ipv6, IPV6_PREFIX_LENGTH);
  setLinkUp(index);
  return index;
}

/** Where /proc/sys is read-only (containers) the setting stays; fast open is refused by the seccomp filter as well. */
function writeSetting(path: string, value: string): void {
  try {
    writeFileSync(path, value);
  } catch {}
}
