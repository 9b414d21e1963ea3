import type { Actor } from "../../../events/event.ts";
import type { Identification, ProgramIdentity, SocketAddress } from "../box/contract.ts";

/** Asks the box who opened a connection. */
export type Identify = (peer: SocketAddress, local: SocketAddress) => Identification;

/** A failure to ask is an unknown program: it never becomes a permission. */
export function identifySafely(identify: Identify, peer: SocketAddress, local: SocketAddress): Identification {
  try {
    return identify(peer, local);
  } catch (error) {
    return {
      known: false,
      code: "kernel_error",
      reason: `the program could not be identified: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
}

/** The program as events show it. */
export function actorOf(program: ProgramIdentity, sha256?: string): Actor {
  const { exe: binary, pid, ancestors, commandLine, writableCode } = program;
  return {
    binary,
    pid,
    ancestors,
    commandLine,
    ...(sha256 === undefined ? {} : { sha256 }),
    ...(writableCode === undefined ? {} : { writableCode }),
  };
}
