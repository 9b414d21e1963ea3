/** Captured connections on loopback, which no captured connection may mean: what happens before policy, and at the limits. */
import { afterAll, expect, test } from "bun:test";
import { createConnection, type Socket } from "node:net";
import type { NetworkEvent, SecurityEvent } from "../../../../events/event.ts";
import { close } from "../../../../linux/descriptors.ts";
import { listenTcp } from "../../../../linux/listener.ts";
import type { Identification, SocketAddress } from "../../box/contract.ts";
import { type EgressOptions, serveEgress } from "../serve.ts";

const program: Identification = {
  known: true,
  program: {
    pid: 7,
    startTime: 1,
    exe: "/usr/bin/ssh",
    file: { device: "1", inode: "2", size: 3, mtimeNs: "4", ctimeNs: "5" },
    ancestors: [],
    commandLine: "ssh host",
  },
};

const ends: (() => void)[] = [];
afterAll(() => {
  for (const end of ends) end();
});

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  listener.stop(true);
  return listener.port;
}

function capture(options: Partial<EgressOptions> = {}) {
  const [proxyPort, port] = [freePort(), freePort()];
  const [listenerFd, capturedFd] = [listenTcp("127.0.0.1", proxyPort, 8), listenTcp("127.0.0.1", port, 8)];
  const events: NetworkEvent[] = [];
  const accepted: [SocketAddress, SocketAddress][] = [];
  const egress = serveEgress({
    listenerFd,
    capturedFds: [capturedFd],
    onCaptured: (peer, local) => accepted.push([peer, local]),
    identify: () => program,
    engine: {
      generation: 1,
      decide: () => {
        throw new Error("policy is not asked");
      },
    } as unknown as EgressOptions["engine"],
    emit: (event: SecurityEvent) => events.push(event as NetworkEvent),
    trustedCidrs: [],
    ...options,
  });
  ends.push(() => {
    egress[Symbol.dispose]();
    close(listenerFd);
    close(capturedFd);
  });
  return { port, proxyPort, events, accepted, egress };
}

/** Connects, says something, and tells what was answered and how the connection ended. */
function dial(port: number): Promise<{ text: string; error: string | undefined }> {
  return new Promise((resolve) => {
    let text = "";
    let problem: NodeJS.ErrnoException | undefined;
    createConnection({ host: "127.0.0.1", port }, function (this: Socket) {
      this.write("hello");
    })
      .on("data", (bytes) => {
        text += bytes;
      })
      .on("error", (error) => {
        problem = error;
      })
      .on("close", () => resolve({ text, error: problem?.code }));
  });
}

test("threat-27 an address that means nothing outside is refused by a reset before policy, with one event that names the program", async () => {
  const { port, events, accepted, egress } = capture();
  expect(await dial(port)).toEqual({ text: "", error: "ECONNRESET" });
  expect(events).toHaveLength(1);
  expect(events[0]).toMatchObject({
    activity: "refuse",
    action: "denied",
    actor: { binary: "/usr/bin/ssh" },
    host: "127.0.0.1",
    port,
    engine: "bypass",
    stage: "bypass",
    code: "always_blocked",
    reason: expect.stringContaining("ensure the process honors HTTP_PROXY/HTTPS_PROXY; for Node.js set NODE_USE_ENV_PROXY=1"),
  });
  expect(accepted).toEqual([[expect.objectContaining({ address: "127.0.0.1" }), { address: "127.0.0.1", port }]]);
  expect(egress.connections).toBe(0);
});

test("a program that is not known is refused by a reset", async () => {
  const { port, events } = capture({ identify: () => ({ known: false, code: "no_record", reason: "no program was seen" }) });
  expect(await dial(port)).toEqual({ text: "", error: "ECONNRESET" });
  expect(events).toMatchObject([{ action: "denied", engine: "identity", code: "no_record" }]);
});

test("threat-16 captured connections and the proxy's share one limit", async () => {
  const { port, proxyPort, events } = capture({ limits: { connections: 1, waiting: 0 } });
  // The proxy answers this one, so it has accepted it and keeps it until the end of its lingering.
  const holding = createConnection({ host: "127.0.0.1", port: proxyPort, allowHalfOpen: true });
  holding.write("nonsense\r\n\r\n");
  await new Promise((resolve) => holding.once("data", resolve));
  expect(await dial(port)).toEqual({ text: "", error: "ECONNRESET" });
  expect(events.at(-1)).toMatchObject({ engine: "limits", code: "too_many_connections", host: "127.0.0.1", port });
  holding.destroy();
});
