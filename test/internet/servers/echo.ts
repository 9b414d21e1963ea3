/** Raw TCP on every address: what comes in goes back, half-close included. */
import type { Ledger } from "./web.ts";
import { plainAddress } from "./web.ts";

interface Tail {
  pending: Uint8Array[];
  ended: boolean;
}

/** Native sockets, because this is also the upstream of the benchmarks. */
export function serveEcho(port: number, ledger: Ledger): void {
  Bun.listen<Tail>({
    hostname: "::",
    port,
    allowHalfOpen: true,
    socket: {
      open(socket) {
        socket.data = { pending: [], ended: false };
        ledger.connections.add({ address: plainAddress(socket.localAddress), port });
      },
      data(socket, chunk) {
        const { data } = socket;
        const written = data.pending.length > 0 ? 0 : socket.write(chunk);
        if (written < chunk.length) {
          data.pending.push(Uint8Array.from(chunk.subarray(Math.max(written, 0))));
          socket.pause();
        }
      },
      drain(socket) {
        const { data } = socket;
        for (let next = data.pending.shift(); next !== undefined; next = data.pending.shift()) {
          const written = Math.max(socket.write(next), 0);
          if (written < next.length) {
            data.pending.unshift(next.subarray(written));
            return;
          }
        }
        socket.resume();
        if (data.ended) socket.shutdown();
      },
      end(socket) {
        socket.data.ended = true;
        if (socket.data.pending.length === 0) socket.shutdown();
      },
      error(socket) {
        socket.terminate();
      },
    },
  });
}
