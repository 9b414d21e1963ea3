/** Git's own protocol: one git-daemon(1) for each connection, as inetd would start it. */
import { createServer, type Socket } from "node:net";
import { type Ledger, plainAddress } from "./web.ts";

/** Repositories are the directories below `root`; everybody may read and push. */
export async function serveGit(port: number, root: string, ledger: Ledger): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    ledger.connections.add({ address: plainAddress(socket.localAddress), port });
    void converse(socket, root).catch(() => socket.destroy());
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "::", resolve));
}

async function converse(socket: Socket, root: string): Promise<void> {
  const daemon = Bun.spawn({
    cmd: ["git", "daemon", "--inetd", "--export-all", "--enable=receive-pack", `--base-path=${root}`],
    env: {
      PATH: process.env["PATH"] ?? "/usr/bin:/bin",
      REMOTE_ADDR: plainAddress(socket.remoteAddress),
      // The repositories belong to the user of the test, not to whoever asks.
      GIT_CONFIG_COUNT: "1",
      GIT_CONFIG_KEY_0: "safe.directory",
      GIT_CONFIG_VALUE_0: "*",
    },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "ignore",
  });
  socket.on("error", () => daemon.kill());
  socket.on("data", (bytes: Buffer) => {
    daemon.stdin.write(bytes);
    void daemon.stdin.flush();
  });
  socket.on("end", () => void daemon.stdin.end());
  for await (const bytes of daemon.stdout) socket.write(bytes);
  socket.end();
}
