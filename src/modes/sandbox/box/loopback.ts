import { isIP } from "node:net";
import { OpenShellError } from "../../../error.ts";
import { close } from "../../../linux/descriptors.ts";
import { AF_INET, AF_INET6 } from "../../../linux/netlink/address.ts";
import { connectTcp } from "../../../linux/tcp-socket.ts";
import type { LoopbackAddress } from "./contract.ts";
import type { InitClient } from "./init-client.ts";

/** A service of the box whose backlog is full for this long does not answer. Milliseconds. */
const CONNECT_TIME = 10_000;

/**
 * Init makes the socket in the box's network, and the connection is made here: the supervisor enters no namespace of the box. The address
 * is checked once more at this last place, since a socket of root in there is held back by nothing else.
 */
export async function connectLoopback(init: InitClient, { address, port }: LoopbackAddress): Promise<number> {
  const loopback = isIP(address) === 4 ? address.startsWith("127.") : address === "::1";
  if (!loopback) throw new OpenShellError("invalid_argument", `${address} is not a loopback address`);
  const socket = await init.openSocket(isIP(address) === 4 ? AF_INET : AF_INET6);
  try {
    await connectTcp(socket, address, port, CONNECT_TIME);
    return socket;
  } catch (reason) {
    close(socket);
    throw reason;
  }
}
