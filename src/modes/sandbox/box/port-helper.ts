import { closeSync, existsSync, writeSync } from "node:fs";
import { OpenShellError } from "../../../error.ts";
import { readInto } from "../../../linux/descriptors.ts";
import { listenTcp } from "../../../linux/listener.ts";
import { enterNamespace } from "../../../linux/namespaces.ts";
import { CAPTURE_BACKLOG } from "./net-addresses.ts";
import { toWireError, type WireError } from "./wire-error.ts";

/** Where the trap's namespace is handed to the helper. */
export const TRAP_DESCRIPTOR = 3;

export type PortHelperAnswer = { readonly fds: readonly number[] } | { readonly error: WireError };

/**
 * `net-helper listen PORT…`: one listening socket per port and family in the trap, for kernels that do not let us steer every port to one.
 * Prints the descriptor numbers as one line of JSON and waits until the supervisor has taken them: end of file on standard input.
 */
export function listenInTrap(ports: readonly string[]): number {
  try {
    enterNamespace(TRAP_DESCRIPTOR, "net");
    const families = existsSync("/proc/thread-self/net/if_inet6") ? ["0.0.0.0", "::"] : ["0.0.0.0"];
    const fds = ports.map(readPort).flatMap((port) => families.map((address) => listenTcp(address, port, CAPTURE_BACKLOG)));
    answer({ fds });
    readInto(0, new Uint8Array(1));
    return 0;
  } catch (reason) {
    answer({ error: toWireError(reason) });
    return 1;
  } finally {
    closeSync(TRAP_DESCRIPTOR);
  }
}

function answer(line: PortHelperAnswer): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

function readPort(text: string): number {
  const port = /^[1-9]\d{0,4}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw new OpenShellError("internal", `'${text}' is no port`);
  return port;
}
