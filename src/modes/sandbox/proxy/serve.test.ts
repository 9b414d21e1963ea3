import { afterAll, describe, expect, test } from "bun:test";
import { classifyAddress } from "../../../address/address-class.ts";
import type { ConnectionQuery, Decision, RequestDecision, RequestEngine, RequestQuery } from "../../../engine/decision.ts";
import type { NetworkEvent, SecurityEvent } from "../../../events/event.ts";
import { listenTcp } from "../../../linux/listener.ts";
import type { Endpoint } from "../../../policy/model.ts";
import type { Identification, ProgramIdentity } from "../box/contract.ts";
import { BinaryTrust } from "./binary-trust.ts";
import { Resolver } from "./destination/resolver.ts";
import { type EgressOptions, serveEgress } from "./serve.ts";

const curl: ProgramIdentity = {
  pid: 58,
  startTime: 1,
  exe: "/usr/bin/curl",
  file: { device: "1", inode: "2", size: 3, mtimeNs: "4", ctimeNs: "5" },
  ancestors: ["/bin/bash"],
  commandLine: "curl",
};

/** Allows the hosts it is given; the interface of the real engine, whose rules have their own tests. */
class Hosts implements RequestEngine {
  generation = 1;
  asked: ConnectionQuery[] = [];
  constructor(public allowed: Record<string, Partial<Endpoint>>) {}
  decide(query: ConnectionQuery): Decision {
    this.asked.push(query);
    const endpoint = this.allowed[query.host];
    if (endpoint === undefined)
      return {
        allowed: false,
        code: "host_not_allowed",
        reason: `endpoint ${query.host}:${query.port} is not allowed by any policy`,
        generation: 1,
      };
    const full = { host: query.host, allowedIps: [], credentialSigning: "", ...endpoint } as unknown as Endpoint;
    return { allowed: true, policy: "rule", endpoints: [{ id: "rule/0", endpoint: full }], generation: 1 };
  }
  /** Allows to read. */
  decideRequest({ request }: RequestQuery): RequestDecision {
    const allowed = request.kind === "http" && request.method === "GET";
    if (allowed) return { action: "allow", reason: "", policy: "rule", generation: 1 };
    return { action: "deny", code: "request_not_allowed", reason: "not permitted by policy", policy: "rule", generation: 1 };
  }
}

/** A proxy on loopback whose only difference from the real one is that loopback may be dialled. */
function proxy(options: Partial<EgressOptions> & { lookup?: (name: string) => string[]; loopbackIs?: "public" | "internal" } = {}) {
  const port = freePort();
  const events: NetworkEvent[] = [];
  const engine = new Hosts({ "a.example": {} });
  const asked: string[] = [];
  const egress = serveEgress({
    listenerFd: listenTcp("127.0.0.1", port, 64),
    identify: (): Identification => ({ known: true, program: curl }),
    engine,
    emit: (event: SecurityEvent) => events.push(event as NetworkEvent),
    trustedCidrs: [],
    ownAddresses: () => new Set(),
    trust: new BinaryTrust(async () => ({ sha256: "00ff" })),
    resolver: new Resolver({
      hostsFile: "/nonexistent",
      system: async (name) => {
        asked.push(name);
        return options.lookup?.(name) ?? ["127.0.0.1"];
      },
    }),
    classify: (address) => (address.startsWith("127.") ? (options.loopbackIs ?? "public") : classifyAddress(address)),
    ...options,
  });
  open.push(egress);
  return { port, events, engine, asked, egress };
}
const open: Disposable[] = [];

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  listener.stop(true);
  return listener.port;
}
afterAll(() => {
  for (const one of open) one[Symbol.dispose]();
});

/** A plain TCP server; collects what each connection sends. */
function server(onData: (socket: Bun.Socket, text: string) => void = () => {}, onEnd: (socket: Bun.Socket) => void = (s) => void s.end()) {
  const received: string[] = [];
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    allowHalfOpen: true,
    socket: {
      open() {
        received.push("");
      },
      data(socket, bytes) {
        received[received.length - 1] += bytes.toString("latin1");
        onData(socket as Bun.Socket, bytes.toString("latin1"));
      },
      end: (socket) => onEnd(socket as Bun.Socket),
      close() {},
    },
  });
  open.push({ [Symbol.dispose]: () => listener.stop(true) });
  return { port: listener.port, received };
}

/** Sends text and gives everything until the other side closes; `finish`: half-closes behind the text. */
function talk(
  port: number,
  text: string,
  options: { finish?: boolean; onText?: (socket: Bun.Socket, all: string) => void } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    let all = "";
    Bun.connect({
      hostname: "127.0.0.1",
      port,
      allowHalfOpen: true,
      socket: {
        open(socket) {
          socket.write(text);
          if (options.finish) socket.shutdown();
        },
        data(socket, bytes) {
          all += bytes.toString("latin1");
          options.onText?.(socket as Bun.Socket, all);
        },
        end: (socket) => void socket.end(),
        close: () => resolve(all),
      },
    }).catch(reject);
  });
}
/** A client that has sent an allowed request and whose end will be a reset. */
const resetting = (port: number) => [
  "/usr/bin/perl",
  "-MSocket",
  "-e",
  `socket S, 2, 1, 0; setsockopt S, SOL_SOCKET, SO_LINGER, pack "ii", 1, 0; connect S, pack_sockaddr_in(${port}, inet_aton("127.0.0.1"));
   syswrite S, "CONNECT a.example:443 HTTP/1.1\\r\\nHost: a.example:443\\r\\n\\r\\n"; eval $ARGV[0]`,
];
const connect = (host: string, port: number, rest = "") => `CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n${rest}`;
const bodyOf = (response: string) => JSON.parse(response.slice(response.indexOf("\r\n\r\n") + 4));

describe("CONNECT", () => {
  test("an allowed host is reached, early bytes included, and one event says so", async () => {
    const { port, events, asked } = proxy();
    const echo = server((socket, text) => void socket.write(`<${text}>`));
    const answer = await talk(port, connect("A.example.", echo.port, "early"), {
      onText: (socket, all) => all.endsWith("<early>") && socket.shutdown(),
    });
    expect(answer).toBe("HTTP/1.1 200 Connection Established\r\n\r\n<early>");
    expect(asked).toEqual(["a.example."]);
    expect(events).toMatchObject([
      {
        kind: "network",
        activity: "open",
        action: "allowed",
        host: "a.example",
        port: echo.port,
        address: "127.0.0.1",
        policy: "rule",
        engine: "opa",
      },
    ]);
    expect(events[0]?.actor).toMatchObject({ binary: "/usr/bin/curl", pid: 58, sha256: "00ff" });
  });

  test("case-23: a denied host gets 403 with the reason, and is never asked of DNS", async () => {
    const { port, events, asked } = proxy();
    const answer = await talk(port, connect("evil.example", 443));
    expect(answer).toStartWith("HTTP/1.1 403 Forbidden\r\n");
    expect(answer).toContain("X-OpenShell-Policy: -\r\n");
    expect(bodyOf(answer)).toMatchObject({
      error: "policy_denied",
      layer: "l4",
      host: "evil.example",
      port: 443,
      method: "CONNECT",
      binary: "/usr/bin/curl",
      reason: "host_not_allowed",
      detail: expect.stringContaining("not allowed by any policy"),
      rule_missing: {
        type: "network_allow",
        layer: "l4",
        method: "CONNECT",
        path: "",
        host: "evil.example",
        port: 443,
        binary: "/usr/bin/curl",
      },
    });
    expect(asked).toEqual([]);
    expect(events).toMatchObject([{ action: "denied", stage: "connect", code: "host_not_allowed", engine: "opa", severity: "medium" }]);
  });

  test("a program that is not known is denied before policy is asked", async () => {
    const { port, events, engine } = proxy({
      identify: () => ({ known: false, code: "no_record", reason: "no record of this connection" }),
    });
    const answer = await talk(port, connect("a.example", 443));
    expect(bodyOf(answer)).toMatchObject({ error: "identity_denied", reason: "no_record" });
    expect(bodyOf(answer)["rule_missing"]).toBeUndefined();
    expect(engine.asked).toEqual([]);
    expect(events).toMatchObject([{ action: "denied", engine: "identity", code: "no_record" }]);
    expect(events[0]?.stage).toBeUndefined();
  });

  test("threat-09: an identification that throws is a denial", async () => {
    const { port } = proxy({
      identify: () => {
        throw new Error("too many open files");
      },
    });
    expect(bodyOf(await talk(port, connect("a.example", 443)))).toMatchObject({ error: "identity_denied", reason: "kernel_error" });
  });

  test("threat-10: a client that resets before it is looked at harms nobody", async () => {
    const { port, engine } = proxy();
    // Both ends are this process' children, so that the reset is there before the loop accepts.
    for (let round = 0; round < 3; round += 1) Bun.spawnSync([...resetting(port), "close S"]);
    expect(bodyOf(await talk(port, connect("b.example", 443)))).toMatchObject({ error: "policy_denied" });
    expect(engine.asked.map(({ host }) => host)).toEqual(["b.example"]);
  });

  test("threat-10: a client that resets while it is looked up is nobody", async () => {
    let client: Bun.Subprocess | undefined;
    const looked = Promise.withResolvers<void>();
    const { port, engine, events } = proxy({
      identify: () => {
        client?.kill("SIGKILL");
        Bun.spawnSync(["/bin/sh", "-c", `while grep -q '^State:.[^Z]' /proc/${client?.pid}/status; do :; done`]);
        looked.resolve();
        return { known: true, program: curl };
      },
    });
    client = Bun.spawn([...resetting(port), "sleep"], { stdout: "ignore" });
    await looked.promise;
    expect(bodyOf(await talk(port, connect("b.example", 443)))).toMatchObject({ error: "policy_denied" });
    expect(engine.asked.map(({ host }) => host)).toEqual(["b.example"]);
    expect(events[0]).not.toMatchObject({ host: "a.example", action: "allowed" });
  });

  test("an internal address is refused after resolution, with the address in the event", async () => {
    const { port, events } = proxy({ lookup: () => ["127.0.0.1"], loopbackIs: "internal" });
    const target = server();
    const answer = await talk(port, connect("a.example", target.port));
    expect(bodyOf(answer)).toMatchObject({ error: "ssrf_denied", reason: "internal_address", policy: "rule", resolved_ips: ["127.0.0.1"] });
    expect(answer).toContain("X-OpenShell-Policy: rule\r\n");
    expect(events).toMatchObject([
      {
        engine: "ssrf",
        stage: "ssrf",
        address: "127.0.0.1",
        reason: "a.example resolves to internal address 127.0.0.1, connection rejected",
      },
    ]);
    expect(target.received).toEqual([]);
  });

  test("case-47: one private address among public ones refuses all of them", async () => {
    const { port } = proxy({ lookup: () => ["93.184.216.34", "10.0.0.1"] });
    expect(bodyOf(await talk(port, connect("a.example", 443)))).toMatchObject({ reason: "internal_address", resolved_ips: ["10.0.0.1"] });
  });

  test("the next address is tried when one does not answer; when none does the client learns it", async () => {
    const echo = server((socket, text) => void socket.write(text));
    const { port, events } = proxy({ lookup: () => ["127.0.0.99", "127.0.0.1"] });
    expect(
      await talk(port, connect("a.example", echo.port, "x"), { onText: (s, all) => all.endsWith("\r\n\r\nx") && s.shutdown() }),
    ).toEndWith("\r\n\r\nx");
    expect(events).toMatchObject([{ action: "allowed", address: "127.0.0.1" }]);
    const dead = proxy();
    const answer = await talk(dead.port, connect("a.example", 1));
    expect(answer).toStartWith("HTTP/1.1 502 Bad Gateway\r\n");
    expect(bodyOf(answer)).toMatchObject({
      error: "upstream_unreachable",
      detail: expect.stringContaining("connection to a.example:1 failed"),
    });
    expect(dead.events).toMatchObject([{ activity: "fail", action: "allowed", severity: "low" }]);
    expect(dead.events[0]?.stage).toBeUndefined();
  });

  test("a name without an answer is 502, not a denial", async () => {
    const { port, events } = proxy({ lookup: () => [] });
    expect(bodyOf(await talk(port, connect("a.example", 443)))).toMatchObject({
      error: "upstream_unreachable",
      detail: "DNS resolution failed for a.example:443: a.example has no address",
    });
    expect(events).toMatchObject([{ activity: "fail", code: "resolution_failed" }]);
  });

  test("case-33: a program whose content changed under its path is denied", async () => {
    let hash = "aa";
    let inode = "2";
    const trust = new BinaryTrust(async () => ({ sha256: hash }));
    const { port } = proxy({ trust, identify: () => ({ known: true, program: { ...curl, file: { ...curl.file, inode } } }) });
    const target = server();
    expect(await talk(port, connect("a.example", target.port), { finish: true })).toContain(" 200 ");
    [hash, inode] = ["bb", "3"];
    expect(bodyOf(await talk(port, connect("a.example", target.port)))).toMatchObject({
      error: "integrity_denied",
      detail: "Binary integrity violation: /usr/bin/curl hash changed (cached: aa, current: bb)",
    });
    hash = "aa";
    expect(await talk(port, connect("a.example", target.port), { finish: true })).toContain(" 200 ");
  });

  test("reserved names reach neither policy nor a proposal", async () => {
    const { port, events, engine } = proxy({
      controlPlane: { authority: { host: "gateway.openshell.internal", port: 17670 }, open: () => undefined },
    });
    for (const [host, portNumber, error] of [
      ["inference.local", 443, "inference_unavailable"],
      ["gateway.openshell.internal", 17670, "control_plane_unavailable"],
      ["gateway.openshell.internal", 80, "reserved_name"],
      ["policy.local", 80, "reserved_name"],
    ] as const)
      expect(bodyOf(await talk(port, connect(host, portNumber)))).toMatchObject({ error });
    expect(engine.asked).toEqual([]);
    expect(events.every((event) => event.stage === undefined)).toBe(true);
  });
});

describe("fail closed", () => {
  test("where requests are decided the server hears nothing before one is allowed, and nothing that is no request", async () => {
    const { port, engine, events } = proxy();
    const target = server();
    engine.allowed = { "a.example": { protocol: "rest", enforcement: "enforce" } };
    const answer = await talk(port, connect("a.example", target.port, "SSH-2.0-client\r\n"));
    expect(bodyOf(answer.slice(answer.indexOf("HTTP/1.1 403")))).toMatchObject({ error: "unsupported_l7_protocol", policy: "rule" });
    expect(events.at(-1)).toMatchObject({ action: "denied", code: "unsupported_l7_protocol" });
    expect(target.received).toEqual([]);
    engine.allowed = { "a.example": { protocol: "rest", enforcement: "audit" } };
    expect(await talk(port, connect("a.example", target.port), { finish: true })).toContain(" 200 ");
  });

  test("a fault while deciding is a refusal, at once or later, and ends open tunnels", async () => {
    const { port, egress, engine } = proxy();
    const target = server((socket, text) => void socket.write(text));
    const lost = talk(port, connect("a.example", target.port), {
      onText() {
        engine.decide = () => {
          throw new Error("broken");
        };
        setImmediate(() => egress.closeDisallowed());
      },
    });
    expect(await lost).toContain(" 200 ");
    expect(bodyOf(await talk(port, connect("a.example", target.port)))).toMatchObject({
      error: "undecided",
      detail: expect.stringContaining("broken"),
    });
    const later = proxy({ trust: new BinaryTrust(() => Promise.reject(new Error("no thread"))) });
    expect(bodyOf(await talk(later.port, connect("a.example", target.port)))).toMatchObject({ error: "undecided" });
  });
});

describe("bytes", () => {
  test("64 MiB each way with half-close, through a reader that stops and starts", async () => {
    const size = 64 * 1024 * 1024;
    const block = Buffer.alloc(1 << 20, "0123456789abcdef");
    /** Writes `size` bytes, then half-closes. */
    const source = () => {
      let left = size;
      return (socket: Bun.Socket) => {
        while (left > 0) {
          const written = socket.write(block.subarray(0, Math.min(left, block.length)));
          left -= Math.max(0, written);
          if (written < block.length) break;
        }
        if (left === 0) {
          left = -1;
          socket.shutdown();
        }
      };
    };
    let upstreamGot = 0;
    const upstreamSource = source();
    let started = false;
    const upstream = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      allowHalfOpen: true,
      socket: {
        data(_, bytes) {
          upstreamGot += bytes.length;
        },
        // The answer starts only after the FIN has come through: the half-close is what is tested.
        end(socket) {
          started = true;
          upstreamSource(socket as Bun.Socket);
        },
        drain(socket) {
          if (started) upstreamSource(socket as Bun.Socket);
        },
      },
    });
    const { port, egress } = proxy();
    let clientGot = 0;
    const clientSource = source();
    await new Promise<void>((resolve) => {
      Bun.connect({
        hostname: "127.0.0.1",
        port,
        allowHalfOpen: true,
        socket: {
          open: (socket) => void socket.write(connect("a.example", upstream.port)),
          data(socket, bytes) {
            if (clientGot === 0) clientSource(socket as Bun.Socket);
            clientGot += bytes.length;
            if (clientGot % 7 === 0) {
              socket.pause();
              setImmediate(() => socket.resume());
            }
          },
          drain: (socket) => clientSource(socket as Bun.Socket),
          close: () => resolve(),
          end: (socket) => void socket.end(),
        },
      });
    });
    expect(upstreamGot).toBe(size);
    expect(clientGot - "HTTP/1.1 200 Connection Established\r\n\r\n".length).toBe(size);
    upstream.stop(true);
    await until(() => egress.connections === 0);
  });

  test("a reset of the server resets the client", async () => {
    const { port, egress } = proxy();
    const target = server((socket) => socket.terminate());
    expect(await talk(port, connect("a.example", target.port, "x"))).toContain(" 200 ");
    await until(() => egress.connections === 0);
  });

  test("bytes sent while the proxy still decides arrive, and no more than 64 KiB of them are held", async () => {
    let answer: (addresses: string[]) => void = () => {};
    let asked = false;
    const resolver = new Resolver({
      hostsFile: "/nonexistent",
      system: () =>
        new Promise((resolve) => {
          asked = true;
          answer = resolve;
        }),
    });
    const { port } = proxy({ resolver });
    const target = server();
    const text = "y".repeat(1 << 20);
    const done = talk(port, connect("a.example", target.port, text), { finish: false, onText: (socket) => void socket.write("z") });
    await until(() => asked);
    answer(["127.0.0.1"]);
    await until(() => (target.received[0] ?? "").length > 65_536);
    open.push({ [Symbol.dispose]: () => void done });
  });
});

/** Waits for a condition that another turn of the event loop brings about. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

describe("absolute-form", () => {
  const reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok";

  test("case-50, case-54: origin-form upstream, Connection: close both ways, nothing behind the request", async () => {
    const target = server((socket, text) => void (text.includes("\r\n\r\n") && socket.write(reply) && socket.shutdown()));
    const { port, events } = proxy();
    const host = `a.example:${target.port}`;
    const answer = await talk(
      port,
      `POST http://${host}/x?token=1 HTTP/1.1\r\nHost: ${host}\r\nProxy-Connection: keep-alive\r\nContent-Length: 3\r\n\r\nabcGET http://${host}/second HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    );
    expect(answer).toBe("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    expect(target.received).toEqual([
      `POST /x?token=1 HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 3\r\nVia: 1.1 openshell-sandbox\r\nConnection: close\r\n\r\nabc`,
    ]);
    expect(events).toMatchObject([{ action: "allowed", host: "a.example" }]);
  });

  test("case-52: an unmatched host is denied at stage forward, the query stays out of the answer", async () => {
    const { port, events } = proxy();
    const answer = await talk(port, "GET http://evil.example/x?token=secret HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    expect(bodyOf(answer)).toMatchObject({ error: "policy_denied", method: "GET", path: "/x", port: 80, rule_missing: { path: "/x" } });
    expect(answer).not.toContain("secret");
    expect(events).toMatchObject([{ stage: "forward" }]);
  });

  test("a server that does not speak HTTP, or closes at once, is 502", async () => {
    for (const say of ["SSH-2.0-x\r\n\r\n", ""]) {
      const target = server((socket) => void (say === "" ? socket.end() : socket.write(say)));
      const { port } = proxy();
      const host = `a.example:${target.port}`;
      const answer = await talk(port, `GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      expect(answer).toStartWith("HTTP/1.1 502 ");
    }
  });

  test("a body with wrong framing never gets an answer from upstream", async () => {
    const target = server();
    const { port } = proxy();
    const host = `a.example:${target.port}`;
    const sent = talk(port, `POST http://${host}/ HTTP/1.1\r\nHost: ${host}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`);
    expect(await sent).toBe("");
    expect(target.received.join("")).not.toContain("zz");
  });
});

describe("limits", () => {
  test("case-28: a request that is not for a proxy is 400 with the same shape, and no destination in its event", async () => {
    const { port, events } = proxy();
    const answer = await talk(port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(answer).toStartWith("HTTP/1.1 400 ");
    expect(bodyOf(answer)).toMatchObject({
      error: "bad_request",
      reason: "not_a_proxy_request",
      host: "",
      port: 0,
      next_steps: [expect.any(String)],
    });
    expect(events).toMatchObject([{ activity: "refuse", host: "", engine: "limits" }]);
  });

  test("threat-16: a head that does not come in time is 408", async () => {
    const { port } = proxy({ limits: { headMs: 1, sweepMs: 1 } });
    expect(await talk(port, "CONNECT a.ex")).toStartWith("HTTP/1.1 408 ");
  });

  test("threat-16: at the cap connections wait, beyond that they are refused, and a free place admits the next", async () => {
    const { port, egress } = proxy({ limits: { undecided: 1, waiting: 1 } });
    const idle = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
    await until(() => egress.connections === 1);
    const second = talk(port, connect("evil.example", 443));
    await until(() => egress.connections === 2);
    expect(bodyOf(await talk(port, connect("evil.example", 443)))).toMatchObject({ error: "too_many_connections" });
    idle.end();
    expect(await second).toStartWith("HTTP/1.1 403 ");
  });

  test("threat-16: who leaves refusals unread hears no more of them", async () => {
    const { port, egress, events } = proxy({ limits: { undecided: 1, waiting: 1, lingerMs: 60_000 } });
    const answers: string[] = [];
    const silent = () =>
      Bun.connect({
        hostname: "127.0.0.1",
        port,
        allowHalfOpen: true,
        socket: { data: (_, bytes) => void answers.push(bytes.toString()), close: () => void answers.push("closed"), error() {} },
      });
    const sockets = [await silent(), await silent()];
    await until(() => egress.connections === 2);
    sockets.push(await silent());
    await until(() => answers.length === 1);
    expect(answers[0]).toContain("503");
    sockets.push(await silent());
    await until(() => answers.includes("closed"));
    expect(egress.connections).toBe(3);
    expect(events.filter(({ code }) => code === "too_many_connections")).toHaveLength(2);
    for (const socket of sockets) socket.terminate();
  });

  test("a new policy ends the tunnels it no longer permits, and only those", async () => {
    const { port, egress, engine, events } = proxy();
    const target = server((socket, text) => void socket.write(text));
    engine.allowed = { "a.example": {}, "b.example": {} };
    let stay: Bun.Socket | undefined;
    const kept = talk(port, connect("b.example", target.port), {
      onText(socket) {
        stay = socket;
      },
    });
    await until(() => stay !== undefined);
    const lost = talk(port, connect("a.example", target.port), {
      onText: () => {
        engine.allowed = { "b.example": {} };
        setImmediate(() => egress.closeDisallowed());
      },
    });
    expect(await lost).toContain(" 200 ");
    expect(events.at(-1)).toMatchObject({ activity: "close", action: "denied", host: "a.example" });
    expect(events.at(-1)?.stage).toBeUndefined();
    await until(() => egress.connections === 1);
    stay?.shutdown();
    expect(await kept).toContain(" 200 ");
  });

  test("a policy that changes while a name is resolved decides", async () => {
    let answer: (addresses: string[]) => void = () => {};
    let asked = false;
    const resolver = new Resolver({
      hostsFile: "/nonexistent",
      system: () =>
        new Promise((resolve) => {
          asked = true;
          answer = resolve;
        }),
    });
    const { port, engine } = proxy({ resolver });
    const pending = talk(port, connect("a.example", 443));
    await until(() => asked);
    engine.allowed = {};
    answer(["127.0.0.1"]);
    expect(bodyOf(await pending)).toMatchObject({ error: "policy_denied" });
  });
});
