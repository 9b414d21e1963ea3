/**
 * Load generator for connections inside TLS, through a proxy by CONNECT or straight to the server.
 * Arguments: what to do, proxy host and port (or `-` twice), server name, its address and port, file with the trusted authority, how many at
 * once, seconds. One JSON line on stdout.
 *
 * `handshakes`: connections are made, secured and reset. `download`: each connection reads one endless body. `hold`: connections make one
 * request each and stay until the input ends. `http2`: requests on one HTTP/2 connection.
 */
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTcp } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";

const [mode = "", proxyHost = "-", proxyPort = "-", name = "", address = "", port = "443", caFile = "", count = "16", seconds = "3"] =
  process.argv.slice(2);
const direct = proxyHost === "-";
const ca = await Bun.file(caFile).text();
let errors = 0;
let firstError = "";

function failed(error: Error): void {
  errors += 1;
  firstError ||= error.message;
}

interface Taker {
  data(socket: Bun.Socket<unknown>, bytes: Buffer): void;
  closed?(): void;
}

/** A secured connection; rejects when there is none. */
function secured(taker: Taker): Promise<Bun.Socket<unknown>> {
  return new Promise((resolve, reject) => {
    let upgraded = false;
    const fail = (error: Error) => reject(error);
    const secure = (raw: Bun.Socket<unknown>) => {
      upgraded = true;
      raw.upgradeTLS({
        tls: { ca, serverName: name, rejectUnauthorized: true },
        data: undefined,
        socket: {
          open() {},
          handshake: (socket, good) => (good ? resolve(socket) : fail(new Error("handshake failed"))),
          data: (socket, bytes) => taker.data(socket, bytes),
          close() {
            fail(new Error("closed"));
            taker.closed?.();
          },
          error: (_, error) => fail(error),
        },
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
        data(socket, bytes) {
          if (upgraded) return;
          if (/^HTTP\/1\.[01] 200 /.test(bytes.toString("latin1", 0, 13))) secure(socket);
          else {
            fail(new Error(bytes.toString("latin1").split("\r\n")[0]));
            socket.terminate();
          }
        },
        close: () => fail(new Error("closed before TLS")),
        error: (_, error) => fail(error),
      },
    }).catch(fail);
  });
}

const workers = (work: () => Promise<void>) => Promise.all(Array.from({ length: Number(count) }, work));
const until = () => performance.now() + Number(seconds) * 1000;
const quantile = (of: number[], q: number) => of.sort((a, b) => a - b)[Math.min(of.length - 1, Math.floor(of.length * q))] ?? Number.NaN;

async function handshakes(): Promise<object> {
  const times: number[] = [];
  const make = async () => {
    const started = performance.now();
    const socket = await secured({ data() {} }).catch(failed);
    if (socket === undefined) return;
    times.push(performance.now() - started);
    socket.terminate();
  };
  await workers(make);
  times.length = 0;
  const end = until();
  await workers(async () => {
    while (performance.now() < end) await make();
  });
  return { perSecond: times.length / Number(seconds), p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}

async function download(): Promise<object> {
  let bytes = 0;
  let from = 0;
  await workers(async () => {
    const taker = {
      data(_: unknown, piece: Buffer) {
        from ||= performance.now();
        bytes += piece.length;
      },
    };
    const socket = await secured(taker).catch(failed);
    socket?.write(`GET /bytes/100000000000 HTTP/1.1\r\nHost: ${name}\r\n\r\n`);
  });
  await Bun.sleep(Number(seconds) * 1000);
  return { bytesPerSecond: (bytes / (performance.now() - from)) * 1000 };
}

async function hold(): Promise<object> {
  let held = 0;
  let left = Number(count);
  // Below the proxy's limit of undecided connections.
  await Promise.all(
    Array.from({ length: 32 }, async () => {
      while (left-- > 0)
        await new Promise<void>((resolve) => {
          let seen = false;
          const taker = {
            data() {
              if (!seen) held += 1;
              seen = true;
              resolve();
            },
            closed: () => resolve(),
          };
          secured(taker).then(
            (socket) => void socket.write(`GET /public/x HTTP/1.1\r\nHost: ${name}\r\n\r\n`),
            (error: Error) => {
              failed(error);
              resolve();
            },
          );
        });
    }),
  );
  console.log(`held ${held} failed ${errors}`);
  for await (const _ of Bun.stdin.stream());
  return { held };
}

function tunnelled(): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp(Number(direct ? port : proxyPort), direct ? address : proxyHost, () => {
      if (direct) secure();
      else socket.write(`CONNECT ${name}:${port} HTTP/1.1\r\nHost: ${name}:${port}\r\n\r\n`);
    });
    socket.setNoDelay(true);
    const secure = () => {
      const tls = connectTls({ socket, servername: name, ca, ALPNProtocols: ["h2"] }, () => resolve(tls));
      tls.once("error", reject);
    };
    socket.once("error", reject);
    if (!direct) socket.once("data", (head) => (/ 200 /.test(head.toString()) ? secure() : reject(new Error(head.toString()))));
  });
}

async function http2(): Promise<object> {
  const tls = await tunnelled();
  const session = connectHttp2(`https://${name}:${port}`, { createConnection: () => tls });
  session.on("error", failed);
  const times: number[] = [];
  const ask = () =>
    new Promise<void>((resolve) => {
      const started = performance.now();
      const stream = session.request({ ":path": "/public/x" });
      stream.on("error", failed);
      stream.on("response", (headers) => {
        if (headers[":status"] !== 200) failed(new Error(`status ${headers[":status"]}`));
      });
      stream.resume();
      stream.on("close", () => {
        times.push(performance.now() - started);
        resolve();
      });
      stream.end();
    });
  await workers(ask);
  times.length = 0;
  const end = until();
  await workers(async () => {
    while (performance.now() < end && errors < 100) await ask();
  });
  return { perSecond: times.length / Number(seconds), p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}

const MODES: Readonly<Record<string, () => Promise<object>>> = { handshakes, download, hold, http2 };
const result = await MODES[mode]?.().catch((error: Error) => {
  failed(error);
  return {};
});
console.log(JSON.stringify({ ...result, errors, firstError }));
process.exit(0);
