/** Sends zeros for as long as anybody reads, from the first byte that it gets: the other end of a throughput measurement. */
const BLOCK = new Uint8Array(256 * 1024);

export function serveSource(port: number): void {
  Bun.listen({
    hostname: "::",
    port,
    socket: {
      data(socket) {
        while (socket.write(BLOCK) === BLOCK.length);
      },
      drain(socket) {
        while (socket.write(BLOCK) === BLOCK.length);
      },
      error(socket) {
        socket.terminate();
      },
    },
  });
}
