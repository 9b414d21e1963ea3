/**
 * One tunnel that carries as much as it can from the source to here. A process of its own, inside the sandbox for our proxy and on the host
 * for the others. Arguments: proxy host, proxy port (0: none), target host, target port, seconds. Prints bytes per second.
 */
const [proxyHost = "", proxyPort = "0", host = "", port = "", seconds = "2"] = process.argv.slice(2);
const direct = proxyPort === "0";
const target = `${host}:${port}`;
let bytes = 0;
let open = direct;
let from = 0;

await Bun.connect({
  hostname: direct ? host : proxyHost,
  port: Number(direct ? port : proxyPort),
  socket: {
    open(socket) {
      socket.write(direct ? "go" : `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
      from = performance.now();
    },
    data(socket, chunk) {
      if (open) {
        bytes += chunk.length;
        return;
      }
      const head = Buffer.from(chunk).toString("latin1");
      if (!/^HTTP\/1\.[01] 200 /.test(head)) {
        console.error(head.split("\r\n")[0]);
        process.exit(1);
      }
      open = true;
      from = performance.now();
      socket.write("go");
    },
    close: () => process.exit(1),
    error: () => process.exit(1),
  },
});
setTimeout(() => {
  console.log(String((bytes / (performance.now() - from)) * 1000));
  process.exit(0);
}, Number(seconds) * 1000);

export {};
