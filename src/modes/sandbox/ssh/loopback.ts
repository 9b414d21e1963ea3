import { isIP } from "node:net";
import { OpenShellError } from "../../../error.ts";
import type { LoopbackAddress } from "../box/contract.ts";

const MAX_PORT = 65_535;

/**
 * Where a forwarded connection may lead: the sandbox's own loopback and nowhere else, since what leaves the sandbox leaves by the proxy.
 * Throws `invalid_argument` for any other host, names included, and for impossible ports.
 */
export function loopbackAddress(host: string, port: number): LoopbackAddress {
  if (!Number.isInteger(port) || port < 1 || port > MAX_PORT) {
    throw new OpenShellError("invalid_argument", `port ${port} is not one of 1 to ${MAX_PORT}`);
  }
  const address = literal(host.toLowerCase().replace(/^\[(.*)\]$/, "$1"));
  if (address === undefined) {
    throw new OpenShellError("invalid_argument", `'${printable(host)}' is not the sandbox's own loopback`, {
      next: "forward to 127.0.0.1, localhost or ::1; programs reach other hosts by the proxy, as the policy allows",
    });
  }
  return { address, port };
}

function literal(host: string): string | undefined {
  if (host === "localhost" || host === "") return "127.0.0.1";
  const mapped = host.startsWith("::ffff:") ? host.slice("::ffff:".length) : host;
  if (isIP(mapped) === 4) return mapped.startsWith("127.") ? mapped : undefined;
  return host === "::1" ? host : undefined;
}

/** An argument of a stranger, fit for a message. */
function printable(text: string): string {
  return text.slice(0, 100).replace(/[^\x20-\x7e]/g, "?");
}
