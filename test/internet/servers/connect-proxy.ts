/** The proxy of a company's network: CONNECT alone, with or without credentials, over TCP and TLS. It resolves names itself. */
import { connect, createServer, isIP, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { TestCa } from "../certificates.ts";
import { DEFAULT_ZONE, PROXY_NAME, PROXY_PASSWORD, PROXY_USER, PROXY_ZONE } from "../topology.ts";
import type { Ledger } from "./web.ts";

export interface ConnectProxyOptions {
  readonly ca?: TestCa;
  /** Asks for a user and a password. */
  readonly guarded: boolean;
  readonly ledger: Ledger;
}

const names: Readonly<Record<string, readonly string[]>> = { ...DEFAULT_ZONE, ...PROXY_ZONE };

const GOOD = `Basic ${Buffer.from(`${PROXY_USER}:${PROXY_PASSWORD}`).toString("base64")}`;
/** Hosts below it are refused, as such proxies do. */
const FORBIDDEN = "forbidden.example.com";

export async function serveConnectProxy(port: number, options: ConnectProxyOptions): Promise<void> {
  const accept = (client: Socket) => {
    client.on("error", () => client.destroy());
    serve(client, port, options);
  };
  const server =
    options.ca === undefined ? createServer({ allowHalfOpen: true }, accept) : createTlsServer(await options.ca.leaf(PROXY_NAME), accept);
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "::", resolve));
}

function serve(client: Socket, port: number, options: ConnectProxyOptions): void {
  let received = Buffer.alloc(0);
  const take = (bytes: Buffer) => {
    received = Buffer.concat([received, bytes]);
    const end = received.indexOf("\r\n\r\n");
    if (end < 0) return;
    client.off("data", take);
    client.pause();
    answer(client, port, received.toString("latin1", 0, end), received.subarray(end + 4), options);
  };
  client.on("data", take);
  client.once("end", () => client.end());
}

function answer(client: Socket, port: number, head: string, rest: Buffer, { guarded, ledger }: ConnectProxyOptions): void {
  const [, target = "", hostText = "", portText = ""] = /^CONNECT ((.+):(\d+)) HTTP\/1\.1\r\n/.exec(`${head}\r\n`) ?? [];
  const authorization = /^proxy-authorization: (.*)$/im.exec(head)?.[1];
  ledger.requests.add({
    scheme: "http",
    method: "CONNECT",
    path: target,
    host: authorization ?? "",
    address: client.localAddress ?? "",
    port,
  });
  const refuse = (status: string) => client.end(`HTTP/1.1 ${status}\r\nContent-Length: 5\r\n\r\nsorry`);
  if (target === "") return void refuse("405 Method Not Allowed");
  if (guarded && authorization !== GOOD) return void refuse("407 Proxy Authentication Required");
  if (hostText === FORBIDDEN) return void refuse("403 Forbidden by \x1b[31mcompany policy");
  const host = hostText.replace(/^\[(.*)\]$/, "$1");
  const address = isIP(host) ? host : names[host]?.[0];
  if (address === undefined) return void refuse("502 Bad Gateway");
  const server = connect({ host: address, port: Number(portText), allowHalfOpen: true });
  server.on("error", () => refuse("502 Bad Gateway"));
  server.on("connect", () => {
    client.write("HTTP/1.1 200 OK\r\nVia: 1.1 company\r\n\r\n");
    if (rest.length > 0) server.write(rest);
    client.pipe(server).pipe(client);
    client.on("close", () => server.destroy());
  });
}
