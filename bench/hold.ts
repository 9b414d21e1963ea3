/**
 * Opens tunnels and keeps them, idle, until its input ends. A process inside a sandbox.
 * Arguments: proxy host, proxy port, target authority, how many. Prints `held N` when they stand.
 */
const [proxyHost = "", proxyPort = "", target = "", count = "1"] = process.argv.slice(2);
/** Below the proxy's limit of undecided connections. */
const AT_ONCE = 64;
let held = 0;
let failed = 0;

function hold(): Promise<void> {
  return new Promise((resolve) => {
    Bun.connect({
      hostname: proxyHost,
      port: Number(proxyPort),
      socket: {
        open: (socket) => void socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`),
        data(_socket, chunk) {
          if (/^HTTP\/1\.[01] 200 /.test(Buffer.from(chunk).toString("latin1"))) held += 1;
          else failed += 1;
          resolve();
        },
        close: () => resolve(),
        error: () => resolve(),
      },
    }).catch(() => {
      failed += 1;
      resolve();
    });
  });
}

let begun = 0;
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    while (begun < Number(count)) {
      begun += 1;
      await hold();
    }
  }),
);
console.log(`held ${held} failed ${failed}`);
for await (const _ of Bun.stdin.stream());
process.exit(0);

export {};
