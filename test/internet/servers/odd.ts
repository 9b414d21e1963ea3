/** Servers that behave as real ones do on a bad day, one habit per port. */
import type { Socket } from "node:net";
import { createServer } from "node:net";
import { type Ledger, plainAddress } from "./web.ts";

/** Numbers from the private range, so that no known protocol is expected there. */
export const ODD_PORTS = { drip: 49_201, reset: 49_202, silent: 49_203, greeting: 49_204 } as const;

/** Between two bytes of the drip: slow enough to arrive apart, quick enough for a test. */
const DRIP_INTERVAL_MS = 10;

const habits: Readonly<Record<keyof typeof ODD_PORTS, (socket: Socket) => void>> = {
  /** One byte at a time, then an orderly end. */
  drip(socket) {
    const text = "one byte at a time\n";
    let sent = 0;
    const timer = setInterval(() => {
      if (sent < text.length) socket.write(text.charAt(sent++));
      else {
        clearInterval(timer);
        socket.end();
      }
    }, DRIP_INTERVAL_MS);
    socket.on("close", () => clearInterval(timer));
  },
  /** Something, then a reset in the middle. */
  reset(socket) {
    socket.write("begin");
    socket.once("data", () => socket.resetAndDestroy());
  },
  /** Accepts and never reads. */
  silent(socket) {
    socket.pause();
  },
  /** Speaks first, says goodbye only when the client has ended its side. */
  greeting(socket) {
    socket.write("hello\n");
    socket.on("end", () => socket.end("goodbye\n"));
    socket.resume();
  },
};

export async function serveOdd(ledger: Ledger): Promise<void> {
  for (const [habit, port] of Object.entries(ODD_PORTS)) {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => socket.destroy());
      ledger.connections.add({ address: plainAddress(socket.localAddress), port });
      habits[habit as keyof typeof ODD_PORTS](socket);
    });
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "::", resolve));
  }
}
