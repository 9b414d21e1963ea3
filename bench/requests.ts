/**
 * Load generator for requests inside TLS: keep-alive connections in a closed loop. Through a proxy by CONNECT, or straight to the server.
 * Arguments: proxy host and port (or `-` twice), server name, its address and port, file with the trusted authority, connections, seconds.
 * One JSON line on stdout.
 */
const [proxyHost = "-", proxyPort = "-", name = "", address = "", port = "443", caFile = "", connections = "16", seconds = "3"] =
  process.argv.slice(2);
const direct = proxyHost === "-";
const request = `GET /bench?x=1 HTTP/1.1\r\nHost: ${name}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n`;
const latencies: number[] = [];
const firstBytes: number[] = [];
const newBytes: number[] = [];
let errors = 0;
let deadline = Number.POSITIVE_INFINITY;

/** One connection: resolves once its first answer is there, and goes on asking until the end, unless it is for that answer alone. */
function keepAsking(ca: string, fresh: boolean): Promise<void> {
  return new Promise((resolve) => {
    const started = performance.now();
    let asked = started;
    let missing = 0;
    let first = true;
    let secured = false;
    const ask = (socket: Bun.Socket<unknown>) => {
      asked = performance.now();
      if (fresh || asked < deadline) socket.write(request);
      else socket.terminate();
    };
    const answered = (socket: Bun.Socket<unknown>, bytes: Buffer) => {
      if (missing === 0) {
        const end = bytes.indexOf("\r\n\r\n");
        const length = /\r\ncontent-length: (\d+)/i.exec(bytes.toString("latin1", 0, end + 2))?.[1];
        if (!bytes.toString("latin1", 0, 12).endsWith(" 200") || length === undefined) errors += 1;
        missing = Number(length ?? 0) + end + 4;
      }
      missing -= bytes.length;
      if (missing > 0) return;
      missing = 0;
      (fresh ? newBytes : first ? firstBytes : latencies).push(performance.now() - (first ? started : asked));
      if (first) resolve();
      first = false;
      if (fresh) socket.terminate();
      else ask(socket);
    };
    const secure = (raw: Bun.Socket<unknown>) => {
      secured = true;
      raw.upgradeTLS({
        tls: { ca, serverName: name, rejectUnauthorized: true },
        data: undefined,
        socket: { open() {}, handshake: (socket) => ask(socket), data: answered, close() {}, error: () => void errors++ },
      });
    };
    Bun.connect({
      hostname: direct ? address : proxyHost,
      port: Number(direct ? port : proxyPort),
      socket: {
        open(socket) {
          if (direct) secure(socket);
          else socket.write(`CONNECT ${name}:${port} HTTP/1.1\r\nHost: ${name}:${port}\r\n\r\n`);
        },
        data: (socket) => (secured ? undefined : secure(socket)),
        close() {},
        error: () => void errors++,
      },
    }).catch(() => void errors++);
  });
}

const ca = await Bun.file(caFile).text();
await Promise.all(Array.from({ length: Number(connections) }, () => keepAsking(ca, false)));
latencies.length = 0;
deadline = performance.now() + Number(seconds) * 1000;
await Bun.sleep(Number(seconds) * 1000);
const FRESH = 60;
for (let made = 0; made < FRESH; made++) await keepAsking(ca, true);
const quantile = (of: number[], q: number) => of.sort((a, b) => a - b)[Math.min(of.length - 1, Math.floor(of.length * q))] ?? Number.NaN;
console.log(
  JSON.stringify({
    perSecond: latencies.length / Number(seconds),
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    first: quantile(firstBytes, 0.5),
    fresh: quantile(newBytes, 0.5),
    errors,
  }),
);
process.exit(0);

export {};
