/**
 * Load generator: opens CONNECT tunnels in a closed loop and reports how fast they stand. A process of its own, started inside the sandbox for
 * our proxy and on the host for its peers, so that all are driven by the same code.
 * Arguments: proxy host, proxy port, target authority, tunnels in flight, seconds. One JSON line on stdout.
 */
const [proxyHost = "", proxyPort = "", target = "", inFlight = "16", seconds = "2"] = process.argv.slice(2);
const head = `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`;
const deadline = performance.now() + Number(seconds) * 1000;
const latencies: number[] = [];
let errors = 0;
let firstError = "";

/** One tunnel: resolves when the proxy said 200 (milliseconds) or anything else (undefined). */
function setUp(): Promise<number | undefined> {
  return new Promise((resolve) => {
    const started = performance.now();
    let settled = false;
    const settle = (result: number | undefined, why = "") => {
      if (settled) return;
      settled = true;
      if (result === undefined && firstError === "") firstError = why;
      resolve(result);
    };
    Bun.connect({
      hostname: proxyHost,
      port: Number(proxyPort),
      socket: {
        open: (socket) => void socket.write(head),
        data(socket, chunk) {
          const text = Buffer.from(chunk).toString("latin1");
          const good = /^HTTP\/1\.[01] 200 /.test(text);
          settle(good ? performance.now() - started : undefined, text.slice(0, 400));
          socket.terminate(); // a reset: an orderly end would leave the address pair unusable for a minute, and soon the kernel searches for free ports
        },
        close: () => settle(undefined, "closed without an answer"),
        error: (_socket, error) => settle(undefined, error.message),
      },
    }).catch((error: Error) => settle(undefined, error.message));
  });
}

async function worker(): Promise<void> {
  while (performance.now() < deadline) {
    const latency = await setUp();
    if (latency === undefined) errors += 1;
    else latencies.push(latency);
  }
}

await Promise.all(Array.from({ length: Number(inFlight) }, worker));
latencies.sort((a, b) => a - b);
const quantile = (q: number) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * q))] ?? Number.NaN;
console.log(
  JSON.stringify({
    perSecond: latencies.length / Number(seconds),
    p50: quantile(0.5),
    p99: quantile(0.99),
    count: latencies.length,
    errors,
    firstError,
  }),
);

export {};
