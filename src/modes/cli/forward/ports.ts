import { isIP } from "node:net";
import { OpenShellError } from "../../../error.ts";

/** What is forwarded: a port of this machine to a port of the sandbox's loopback. */
export interface PortPair {
  /** Address to listen on; loopback unless the person said otherwise. */
  readonly bind: string;
  readonly local: number;
  readonly remote: number;
}

export const LOOPBACK = "127.0.0.1";
const MAX_PORT = 65_535;

/** True for what can only be a port specification, never a sandbox's name. */
export function looksLikePorts(word: string): boolean {
  return /^\d+$/.test(word) || word.includes(":");
}

/** `PORT`, `PORT:LOCAL` (the sandbox's port first), or `BIND:PORT` with an address to listen on. */
export function parsePorts(text: string): PortPair {
  const cut = text.lastIndexOf(":");
  if (cut < 0) {
    const port = portNumber(text, text);
    return { bind: LOOPBACK, local: port, remote: port };
  }
  const [before, after] = [text.slice(0, cut), text.slice(cut + 1)];
  if (/^\d+$/.test(before)) return { bind: LOOPBACK, local: after === "0" ? 0 : portNumber(after, text), remote: portNumber(before, text) };
  const bind = before === "localhost" ? LOOPBACK : before.replace(/^\[(.*)\]$/, "$1");
  if (isIP(bind) === 0) throw malformed(text);
  const port = portNumber(after, text);
  return { bind, local: port, remote: port };
}

function portNumber(digits: string, whole: string): number {
  const port = Number(digits);
  if (!/^\d+$/.test(digits) || port < 1 || port > MAX_PORT) throw malformed(whole);
  return port;
}

function malformed(text: string): OpenShellError {
  return new OpenShellError("invalid_argument", `'${text}' is not a port to forward`, {
    next: `write PORT, PORT:LOCAL or BIND:PORT with ports from 1 to ${MAX_PORT}: 8080, 8080:9090, 127.0.0.1:8080`,
  });
}
