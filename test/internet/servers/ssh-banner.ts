/** As far as an SSH server gets before keys matter: the version exchange (RFC 4253 §4.2). A client that sees it has reached us. */
import { createServer } from "node:net";
import { type Ledger, plainAddress } from "./web.ts";

export async function serveSshBanner(port: number, ledger: Ledger): Promise<void> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    ledger.connections.add({ address: plainAddress(socket.localAddress), port });
    socket.write("SSH-2.0-TestInternet\r\n");
    socket.once("data", () => socket.end());
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "::", resolve));
}
