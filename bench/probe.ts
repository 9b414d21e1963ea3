/**
 * Asks the proxy for one tunnel after another, inside a sandbox, and writes the time of each change of its answer, allowed or not, to a file.
 * Arguments: proxy host, proxy port, target authority, file. Ends with its input.
 */
import { appendFileSync } from "node:fs";

const [proxyHost = "", proxyPort = "", target = "", file = ""] = process.argv.slice(2);
let ended = false;

function ask(): Promise<boolean> {
  return new Promise((resolve) => {
    Bun.connect({
      hostname: proxyHost,
      port: Number(proxyPort),
      socket: {
        open: (socket) => void socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`),
        data(socket, bytes) {
          resolve(/^HTTP\/1\.[01] 200 /.test(bytes.toString("latin1", 0, 13)));
          socket.terminate();
        },
        close: () => resolve(false),
        error: () => resolve(false),
      },
    }).catch(() => resolve(false));
  });
}

async function watch(): Promise<void> {
  let last: boolean | undefined;
  while (!ended) {
    const allowed = await ask();
    if (allowed === last) continue;
    last = allowed;
    // Of the machine's clock, which the one who sets policies reads as well.
    appendFileSync(file, `${performance.timeOrigin + performance.now()} ${allowed ? "allowed" : "denied"}\n`);
  }
}

const watching = watch();
for await (const _ of Bun.stdin.stream());
ended = true;
await watching;
process.exit(0);
