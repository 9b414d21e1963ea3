/** Inspected connections on real sockets: a TLS client, the proxy, a TLS server, on loopback. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from "node:http";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import { connect as connectTls, TLSSocket as ServerSocket, type TLSSocket } from "node:tls";
import { eventually } from "../../../../../test/eventually.ts";
import { classifyAddress } from "../../../../address/address-class.ts";
import { PolicyEngine } from "../../../../engine/policy-engine.ts";
import type { HttpEvent, SecurityEvent } from "../../../../events/event.ts";
import { listenTcp } from "../../../../linux/listener.ts";
import { parsePolicyYaml } from "../../../../policy/yaml.ts";
import type { ProgramIdentity } from "../../box/contract.ts";
import { BinaryTrust } from "../binary-trust.ts";
import { Resolver } from "../destination/resolver.ts";
import type { EgressLimits } from "../limits.ts";
import { type Egress, serveEgress } from "../serve.ts";
import { SandboxCa } from "../tls/sandbox-ca.ts";

const curl: ProgramIdentity = {
  pid: 58,
  startTime: 1,
  exe: "/usr/bin/curl",
  file: { device: "1", inode: "2", size: 3, mtimeNs: "4", ctimeNs: "5" },
  ancestors: [],
  commandLine: "curl",
};

const upstreamCa = new SandboxCa();
const ca = new SandboxCa();
const events: SecurityEvent[] = [];
const seen: string[] = [];
const engine = new PolicyEngine();
let egress: Egress;
let proxyPort = 0;
/** The same with little patience, for what takes too long; a busy machine must have time for a handshake all the same. */
let impatient: Egress;
let impatientPort = 0;
let tlsPort = 0;
let plainPort = 0;
let rawPort = 0;
/** Connections that the servers, and the clients, still have. */
const served = new Set<Socket>();
const clients = new Set<Socket>();
/** What the raw TLS server answers to each chunk. */
let rawAnswer: (socket: Socket, text: string) => void = () => {};

const policy = (network: string) =>
  parsePolicyYaml(`version: 1\nnetwork_policies:\n  rule:\n    endpoints:\n${network}\n    binaries: [{ path: /usr/bin/curl }]\n`, {
    source: "test",
  });
const readOnly = (ports: readonly number[], enforcement = "enforce") =>
  `      - { host: a.example, ports: [${ports.join(", ")}], protocol: rest, access: read-only, enforcement: ${enforcement} }`;
const plain = (ports: readonly number[], more = "") => `      - { host: a.example, ports: [${ports.join(", ")}]${more} }`;

async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
  seen.push(`${request.method} ${request.url}`);
  let size = 0;
  for await (const chunk of request) size += (chunk as Buffer).length;
  response.end(JSON.stringify({ method: request.method, url: request.url, headers: request.headers, size }));
}

async function listen(accept: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    served.add(socket);
    socket.on("error", () => socket.destroy()).on("close", () => served.delete(socket));
    accept(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  return (server.address() as { port: number }).port;
}

const ended = (socket: Socket) => {
  const tls = new ServerSocket(socket, { isServer: true, secureContext: upstreamCa.context("a.example") });
  tls.on("error", () => tls.destroy());
  return tls;
};

beforeAll(async () => {
  const http = createHttp(respond);
  tlsPort = await listen((socket) => http.emit("connection", ended(socket)));
  plainPort = await listen((socket) => http.emit("connection", socket));
  rawPort = await listen((socket) => {
    const tls = ended(socket);
    tls.on("data", (bytes: Buffer) => rawAnswer(tls, bytes.toString("latin1")));
  });
  proxyPort = freePort();
  egress = serve(proxyPort, {});
  impatientPort = freePort();
  impatient = serve(impatientPort, { headMs: 2000 });
});
afterAll(() => {
  egress[Symbol.dispose]();
  impatient[Symbol.dispose]();
});

function freePort(): number {
  const free = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  free.stop(true);
  return free.port;
}

function serve(port: number, limits: Partial<EgressLimits>): Egress {
  return serveEgress({
    listenerFd: listenTcp("127.0.0.1", port, 64),
    identify: () => ({ known: true, program: curl }),
    engine,
    emit: (event) => events.push(event),
    trustedCidrs: [],
    ownAddresses: () => new Set(),
    trust: new BinaryTrust(async () => ({ sha256: "00ff" })),
    resolver: new Resolver({ hostsFile: "/nonexistent", system: async () => ["127.0.0.1"] }),
    classify: (address) => (address.startsWith("127.") ? "public" : classifyAddress(address)),
    ca,
    authorities: [upstreamCa.certificate],
    limits: { sweepMs: 50, lingerMs: 200, ...limits },
  });
}

/** A tunnel to a.example; resolves behind the proxy's 200. */
function tunnel(port: number, host = "a.example", proxy = proxyPort): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp(proxy, "127.0.0.1", () => socket.write(`CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`));
    clients.add(socket);
    socket.once("data", (head: Buffer) => {
      if (head.toString().startsWith("HTTP/1.1 200 ")) resolve(socket);
      else reject(new Error(head.toString()));
    });
    socket.once("error", reject);
  });
}

async function secure(port: number, servername = "a.example", proxy = proxyPort): Promise<TLSSocket> {
  const socket = await tunnel(port, "a.example", proxy);
  return await new Promise((resolve, reject) => {
    const trusted = servername === "a.example" ? { ca: ca.certificate } : { rejectUnauthorized: false };
    const tls = connectTls({ socket, servername, ...trusted }, () => resolve(tls));
    tls.once("error", reject);
  });
}

/** Sends text and reads until the other side ends or the text is there. */
function read(socket: Socket, text: string | undefined, until: RegExp | undefined = undefined): Promise<string> {
  return new Promise((resolve) => {
    let all = "";
    const done = () => {
      socket.removeAllListeners("data");
      resolve(all);
    };
    socket.on("data", (bytes: Buffer) => {
      all += bytes.toString("latin1");
      if (until?.test(all)) done();
    });
    socket.on("error", done).on("end", done).on("close", done);
    if (text !== undefined) socket.write(text);
  });
}

const get = (path: string, more = "") => `GET ${path} HTTP/1.1\r\nHost: a.example\r\n${more}\r\n`;
const json = (response: string) => JSON.parse(response.slice(response.indexOf("{")));
const ANSWERED = /"size":\d+\}/;

describe("TLS with request rules", () => {
  test("case-56 a read passes, a write is refused with the reason, and the server never hears of it", async () => {
    engine.load(policy(readOnly([tlsPort])));
    seen.length = 0;
    events.length = 0;
    const answer = json(await read(await secure(tlsPort), get("/repos?x=1"), ANSWERED));
    expect(answer).toMatchObject({ method: "GET", url: "/repos?x=1", headers: { host: `a.example:${tlsPort}` } });
    const refused = await read(await secure(tlsPort), "POST /repos HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\n{}");
    expect(refused).toStartWith("HTTP/1.1 403 ");
    expect(refused).toContain("X-OpenShell-Policy: rule\r\n");
    expect(json(refused)).toMatchObject({
      error: "policy_denied",
      layer: "l7",
      protocol: "rest",
      host: "a.example",
      port: tlsPort,
      method: "POST",
      path: "/repos",
      binary: "/usr/bin/curl",
      policy: "rule",
      rule_missing: { type: "rest_allow", method: "POST", path: "/repos" },
      next_steps: [expect.any(String)],
    });
    expect(seen).toEqual(["GET /repos?x=1"]);
    const http = events.filter((event): event is HttpEvent => event.kind === "http");
    expect(http).toMatchObject([
      { action: "allowed", method: "GET", url: `https://a.example:${tlsPort}/repos`, policy: "rule" },
      { action: "denied", method: "POST", stage: "l7_deny", code: "request_not_allowed" },
    ]);
  });

  test("case-67 case-68 one connection: allowed, allowed, then refused", async () => {
    engine.load(policy(readOnly([tlsPort])));
    const socket = await secure(tlsPort);
    expect(await read(socket, get("/1"), ANSWERED)).toContain('"/1"');
    expect(await read(socket, get("/2"), ANSWERED)).toContain('"/2"');
    expect(await read(socket, "DELETE /3 HTTP/1.1\r\nHost: a.example\r\n\r\n")).toStartWith("HTTP/1.1 403 ");
  });

  test("pipelined requests are decided and answered in order", async () => {
    engine.load(policy(readOnly([tlsPort])));
    seen.length = 0;
    const all = await read(await secure(tlsPort), `${get("/1")}${get("/2")}POST /3 HTTP/1.1\r\nHost: a.example\r\n\r\n${get("/4")}`);
    expect([...all.matchAll(/HTTP\/1.1 (\d+)/g)].map(([, status]) => status)).toEqual(["200", "200", "403"]);
    expect(seen).toEqual(["GET /1", "GET /2"]);
  });

  test("case-58 under audit everything passes and the log says what would not have", async () => {
    engine.load(policy(readOnly([tlsPort], "audit")));
    events.length = 0;
    expect(await read(await secure(tlsPort), "POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\n{}", ANSWERED)).toContain(
      '"size":2',
    );
    expect(events.at(-1)).toMatchObject({ kind: "http", action: "allowed", stage: "l7_audit", method: "POST" });
  });

  test("case-66 the canonical path is decided on and sent", async () => {
    engine.load(
      policy(
        `      - { host: a.example, ports: [${tlsPort}], protocol: rest, enforcement: enforce, rules: [{ allow: { method: GET, path: "/repos/**" } }] }`,
      ),
    );
    seen.length = 0;
    expect(json(await read(await secure(tlsPort), get("/repos//%7Euser/./a;v=1"), ANSWERED)).url).toBe("/repos/~user/a");
    for (const path of ["/repos/../admin", "/repos/%2e%2e/admin", "/repos/..;/admin"])
      expect(await read(await secure(tlsPort), get(path))).toStartWith("HTTP/1.1 403 ");
    for (const path of ["/repos/%zz", "/../x", "/repos/%00"])
      expect(await read(await secure(tlsPort), get(path))).toStartWith("HTTP/1.1 400 ");
    expect(seen).toEqual(["GET /repos/~user/a"]);
  });

  test("case-67 what two programs could read differently is refused and never sent", async () => {
    engine.load(policy(readOnly([tlsPort]).replace("read-only", "full")));
    seen.length = 0;
    const post = (fields: string) => `POST / HTTP/1.1\r\nHost: a.example\r\n${fields}\r\n0\r\n\r\n`;
    for (const text of [
      post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
      post("Content-Length: 5\r\nContent-Length: 6\r\n"),
      post("Transfer-Encoding: chunked, identity\r\n"),
      "GET / HTTP/1.1\nHost: a.example\n\n",
      "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
      "GET / HTTP/1.1\r\n\r\n",
      get("/", "X : y\r\n"),
      "GET https://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ])
      expect(await read(await secure(tlsPort), text)).toStartWith("HTTP/1.1 400 ");
    expect(await read(await secure(tlsPort), "CONNECT b.example:80 HTTP/1.1\r\nHost: b.example\r\n\r\n")).toStartWith("HTTP/1.1 403 ");
    expect(seen).toEqual([]);
  });

  test("another Host or SNI than the connection's is a 421", async () => {
    engine.load(policy(readOnly([tlsPort])));
    seen.length = 0;
    expect(await read(await secure(tlsPort), "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n")).toStartWith("HTTP/1.1 421 ");
    expect(await read(await secure(tlsPort, "b.example"), get("/"))).toStartWith("HTTP/1.1 421 ");
    expect(seen).toEqual([]);
  });

  test("case-73 a new policy counts from the next request on", async () => {
    engine.load(policy(readOnly([tlsPort])));
    const socket = await secure(tlsPort);
    await read(socket, get("/1"), ANSWERED);
    engine.load(policy(readOnly([tlsPort]).replace("read-only", "read-write")));
    egress.closeDisallowed();
    expect(await read(socket, "POST /2 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n", ANSWERED)).toContain('"/2"');
    engine.load(policy(plain([1])));
    egress.closeDisallowed();
    expect(await read(socket, undefined)).toBe("");
  });

  test("a server that is not verified is not spoken to", async () => {
    engine.load(policy(readOnly([tlsPort]).replaceAll("a.example", "b.example")));
    const socket = await tunnel(tlsPort, "b.example");
    const tls = connectTls({ socket, servername: "b.example", ca: ca.certificate });
    seen.length = 0;
    const answer = await read(tls, "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n");
    expect(answer).toStartWith("HTTP/1.1 502 ");
    expect(json(answer)).toMatchObject({ error: "upstream_unreachable", detail: expect.stringContaining("certificate") });
    expect(seen).toEqual([]);
  });

  test("threat-23 a TLS handshake that is never finished ends", async () => {
    engine.load(policy(readOnly([tlsPort])));
    events.length = 0;
    const socket = await tunnel(tlsPort, "a.example", impatientPort);
    expect(await read(socket, "\x16\x03\x01")).toBe("");
    expect(events.at(-1)).toMatchObject({ kind: "network", action: "denied", code: "tls_timeout" });
  });

  test("threat-23 what comes byte by byte has no more time than what does not come", async () => {
    engine.load(policy(readOnly([tlsPort])));
    const drip = async (socket: Socket, text: string): Promise<string> => {
      const answer = read(socket, undefined);
      const bytes = [...Buffer.from(text, "latin1")].values();
      const timer = setInterval(() => socket.write(Buffer.of(bytes.next().value ?? 0x61)), 50);
      return await answer.finally(() => clearInterval(timer));
    };
    events.length = 0;
    expect(await drip(await tunnel(tlsPort, "a.example", impatientPort), "\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03")).toBe("");
    expect(events.at(-1)).toMatchObject({ code: "tls_timeout" });
    const inside = await secure(tlsPort, "a.example", impatientPort);
    inside.write("GET /slow HTTP/1.1\r\nX: ");
    expect(await drip(inside, "a")).toStartWith("HTTP/1.1 408 ");
    expect(events.at(-1)).toMatchObject({ code: "head_timeout" });
  });

  test("threat-23 half a method, or half of another beginning, is not waited for", async () => {
    engine.load(policy(readOnly([tlsPort, plainPort])));
    events.length = 0;
    await Promise.all(
      ["G", "POST", "PRI * HT", "DELETE "].map(async (beginning) => {
        expect(json(await read(await tunnel(plainPort, "a.example", impatientPort), beginning))).toMatchObject({
          error: "unsupported_l7_protocol",
        });
        expect(json(await read(await secure(tlsPort, "a.example", impatientPort), beginning))).toMatchObject({
          error: "unsupported_l7_protocol",
        });
      }),
    );
    expect(events.filter((event) => event.kind === "network" && event.code === "unsupported_l7_protocol")).toHaveLength(8);
  });

  test("case-72 HTTP/2 without TLS where requests are decided is refused", async () => {
    engine.load(policy(readOnly([plainPort])));
    const answer = await read(await tunnel(plainPort), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    expect(json(answer)).toMatchObject({ error: "unsupported_l7_protocol" });
  });
});

describe("bodies", () => {
  test("chunks, trailers and 100-continue pass, in both directions", async () => {
    engine.load(policy(readOnly([tlsPort, rawPort]).replace("read-only", "full")));
    const chunked =
      "POST /up HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n";
    expect(await read(await secure(tlsPort), chunked, ANSWERED)).toContain('"size":5');
    const expecting = await secure(tlsPort);
    const wait = "POST /wait HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    expect(await read(expecting, wait, /\r\n\r\n/)).toStartWith("HTTP/1.1 100 ");
    expect(await read(expecting, "abc", ANSWERED)).toContain('"size":3');
    rawAnswer = (socket) => void socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX-T: 1\r\n\r\n");
    expect(await read(await secure(rawPort), get("/"), /X-T/)).toEndWith("3;x=y\r\nabc\r\n0\r\nX-T: 1\r\n\r\n");
  });

  test("64 MiB stream both ways, a slow reader holds the writer back, and memory does not grow", async () => {
    engine.load(policy(readOnly([rawPort]).replace("read-only", "full")));
    const size = 64 * 1024 * 1024;
    const block = Buffer.alloc(65_536, 7);
    let received = -1;
    rawAnswer = (socket, text) => {
      if (received < 0) received = -text.length + text.length - text.indexOf("\r\n\r\n") - 4;
      received += text.length;
      if (received < size) return;
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
      let sent = 0;
      const pump = () => {
        while (sent < size) {
          sent += block.length;
          if (!socket.write(block)) return;
        }
      };
      socket.on("drain", pump);
      pump();
    };
    const socket = await secure(rawPort);
    socket.write(`POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${size}\r\n\r\n`);
    for (let sent = 0; sent < size; sent += block.length)
      if (!socket.write(block)) await new Promise((resolve) => socket.once("drain", resolve));
    let got = 0;
    await new Promise<void>((resolve, reject) => {
      socket.on("error", reject);
      socket.on("data", (bytes: Buffer) => {
        got += bytes.length;
        if (got > size) resolve();
      });
    });
    expect(got).toBeGreaterThan(size);
    socket.destroy();
  }, 30_000);
});

describe("changes of protocol", () => {
  test("threat-23 a change to anything but WebSocket is declined: the request goes on without", async () => {
    engine.load(policy(readOnly([tlsPort])));
    const { headers } = json(
      await read(
        await secure(tlsPort),
        get("/", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"),
        ANSWERED,
      ),
    );
    expect(headers).not.toContainAnyKeys(["upgrade", "http2-settings"]);
  });

  test("case-69 an unsolicited 101 is not passed on", async () => {
    engine.load(policy(readOnly([rawPort])));
    rawAnswer = (socket) => void socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nsecret");
    const answer = await read(await secure(rawPort), get("/"));
    expect(answer).toStartWith("HTTP/1.1 502 ");
    expect(answer).not.toContain("secret");
    expect(events.at(-1)).toMatchObject({ kind: "finding", id: "unsolicited-101-upgrade" });
  });

  test("case-70 bytes pass both ways behind an allowed upgrade, and end when it is no longer allowed", async () => {
    engine.load(policy(readOnly([rawPort]).replace("read-only", "full")));
    const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst";
    rawAnswer = (socket, text) => void socket.write(text.startsWith("GET") ? switching : `echo ${text}`);
    const socket = await secure(rawPort);
    expect(await read(socket, get("/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n"), /first/)).toStartWith("HTTP/1.1 101 ");
    expect(await read(socket, "frame", /echo/)).toBe("echo frame");
    expect(events.at(-1)).toMatchObject({ kind: "http", reason: expect.stringContaining("101 Switching Protocols") });
    engine.load(policy(readOnly([rawPort])));
    egress.closeDisallowed();
    await read(socket, undefined);
  });
});

describe("without request rules", () => {
  test("requests pass as they are, and each is told of", async () => {
    engine.load(policy(plain([tlsPort, plainPort])));
    events.length = 0;
    expect(json(await read(await secure(tlsPort), get("/@scope%2fname//x"), ANSWERED)).url).toBe("/@scope%2fname//x");
    expect(json(await read(await tunnel(plainPort), get("/plain"), ANSWERED)).url).toBe("/plain");
    expect(events.filter(({ kind }) => kind === "http")).toHaveLength(2);
  });

  test("other protocols pass inside and outside of TLS, also when the server speaks first", async () => {
    engine.load(policy(plain([rawPort])));
    rawAnswer = (socket, text) => void socket.write(`echo ${text}`);
    expect(await read(await secure(rawPort), "\x00\x01binary", /echo/)).toBe("echo \x00\x01binary");
    const greeting = await listen((socket) => {
      const tls = ended(socket);
      tls.write("* OK IMAP ready\r\n");
    });
    const banner = await listen((socket) => socket.write("SSH-2.0-server\r\n"));
    engine.load(policy(plain([greeting, banner])));
    expect(await read(await secure(greeting), undefined, /ready/)).toContain("IMAP");
    const connecting = `CONNECT a.example:${banner} HTTP/1.1\r\nHost: a.example\r\n\r\n`;
    const told = connectTcp(proxyPort, "127.0.0.1");
    clients.add(told);
    expect(await read(told, connecting, /SSH/)).toContain("SSH-2.0");
  });

  test("case-71 tls: skip passes TLS unread when it names the host", async () => {
    engine.load(policy(plain([tlsPort], ", tls: skip")));
    const socket = await tunnel(tlsPort);
    const tls = connectTls({ socket, servername: "a.example", ca: upstreamCa.certificate });
    expect(await read(tls, get("/skipped"), ANSWERED)).toContain("/skipped");
    for (const name of [{ servername: "b.example" }, {}]) {
      events.length = 0;
      const other = connectTls({ socket: await tunnel(tlsPort), rejectUnauthorized: false, ...name });
      expect(await read(other, undefined)).toBe("");
      expect(events.at(-1)).toMatchObject({ action: "denied", code: "sni_mismatch" });
    }
  });
});

describe("absolute-form", () => {
  test("a forwarded request is decided like every other", async () => {
    engine.load(policy(readOnly([plainPort])));
    seen.length = 0;
    const forward = (method: string) =>
      new Promise<string>((resolve) => {
        const socket = connectTcp(proxyPort, "127.0.0.1");
        const url = `http://a.example:${plainPort}/a/../b`;
        resolve(read(socket, `${method} ${url} HTTP/1.1\r\nHost: a.example:${plainPort}\r\nContent-Length: 0\r\n\r\n`));
      });
    expect(json(await forward("GET")).url).toBe("/b");
    expect(json(await forward("POST"))).toMatchObject({ error: "policy_denied", layer: "l7", path: "/b" });
    expect(seen).toEqual(["GET /b"]);
  });
});

test("when the clients are gone nothing of their connections is left, whatever they carried", async () => {
  engine.load(policy(plain([tlsPort, rawPort])));
  rawAnswer = () => {};
  await read(await secure(tlsPort), get("/open"), ANSWERED);
  const raw = await secure(rawPort);
  raw.write("\0raw");
  for (const client of clients) client.destroy();
  await eventually("the end of every connection", 60_000, async () => (served.size === 0 && egress.connections === 0) || undefined);
}, 90_000);
