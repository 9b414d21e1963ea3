/** A policy that changes while addresses are tried one after the other: each is checked against the policy of its moment. */
import { afterAll, expect, test } from "bun:test";
import { once } from "node:events";
import { createServer } from "node:net";
import { classifyAddress } from "../../../address/address-class.ts";
import { PolicyEngine } from "../../../engine/policy-engine.ts";
import type { NetworkEvent } from "../../../events/event.ts";
import { listenTcp } from "../../../linux/listener.ts";
import { parsePolicyYaml } from "../../../policy/yaml.ts";
import { BinaryTrust } from "./binary-trust.ts";
import { Resolver } from "./destination/resolver.ts";
import { InspectingProxy, policyYaml } from "./inspect/inspection.test-support.ts";
import { serveEgress } from "./serve.ts";

const NOBODY = "127.0.0.2";
const SERVER = "127.0.0.1";
const open: Disposable[] = [];
afterAll(() => {
  for (const one of open) one[Symbol.dispose]();
});

/** A server at one of the two addresses, which counts its connections. */
async function counting() {
  const state = { connections: 0, port: 0 };
  const server = createServer((socket) => {
    state.connections++;
    socket.on("error", () => socket.destroy()).end("HTTP/1.1 204 No Content\r\n\r\n");
  });
  server.listen(0, SERVER);
  await once(server, "listening");
  state.port = (server.address() as { port: number }).port;
  open.push({ [Symbol.dispose]: () => server.close() });
  return state;
}

const load = (engine: PolicyEngine, endpoint: string) => engine.load(parsePolicyYaml(policyYaml(endpoint), { source: "test" }));

/** The proxy's answer to a CONNECT, with what follows it. */
async function ask(proxyPort: number, port: number): Promise<string> {
  const answer = Promise.withResolvers<string>();
  let all = "";
  await Bun.connect({
    hostname: "127.0.0.1",
    port: proxyPort,
    socket: {
      open: (socket) => void socket.write(`CONNECT a.example:${port} HTTP/1.1\r\nHost: a.example:${port}\r\n\r\n`),
      data: (_, bytes) => {
        all += bytes.toString("latin1");
      },
      close: () => answer.resolve(all),
    },
  });
  return answer.promise;
}

test.each([
  ["the same policy", "", 1, /^HTTP\/1\.1 200 .*HTTP\/1\.1 204/s],
  ["one without the other address", `, allowed_ips: [10.0.0.0/8]`, 0, /^HTTP\/1\.1 403 .*not in allowed_ips/s],
])("the first address does not answer, and then there is %s", async (_, later, connections, expected) => {
  const server = await counting();
  /** Behind the first time that addresses were decided, the next decision is about the next address. */
  class Changing extends PolicyEngine {
    resolved = false;
    override decide(query: Parameters<PolicyEngine["decide"]>[0]): ReturnType<PolicyEngine["decide"]> {
      const decision = super.decide(query);
      if (this.resolved) load(this, `port: ${server.port}${later}`);
      return decision;
    }
  }
  const engine = new Changing();
  load(engine, `port: ${server.port}`);
  const free = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const proxyPort = free.port;
  free.stop(true);
  const events: NetworkEvent[] = [];
  const file = { device: "1", inode: "2", size: 3, mtimeNs: "4", ctimeNs: "5" };
  const program = { pid: 58, startTime: 1, exe: "/usr/bin/curl", file, ancestors: [], commandLine: "curl" };
  open.push(
    serveEgress({
      listenerFd: listenTcp("127.0.0.1", proxyPort, 64),
      identify: () => ({ known: true, program }),
      engine,
      emit: (event) => events.push(event as NetworkEvent),
      trustedCidrs: [],
      ownAddresses: () => new Set(),
      trust: new BinaryTrust(async () => ({ sha256: "00ff" })),
      resolver: new Resolver({
        hostsFile: "/nonexistent",
        system: async () => {
          engine.resolved = true;
          return [NOBODY, SERVER];
        },
      }),
      classify: (address) => (address.startsWith("127.") ? "public" : classifyAddress(address)),
    }),
  );
  expect(await ask(proxyPort, server.port)).toMatch(expected);
  expect(server.connections).toBe(connections);
  expect(events.at(-1)?.action).toBe(connections === 0 ? "denied" : "allowed");
});

test("where a server is looked for only when a request is allowed, its addresses are checked at that moment", async () => {
  const server = await counting();
  using proxy = await InspectingProxy.open();
  const rest = `port: ${server.port}, protocol: rest, enforcement: enforce, access: read-only`;
  proxy.load(rest);
  const socket = await proxy.tunnel(server.port);
  proxy.load(`${rest}, allowed_ips: [10.0.0.0/8]`);
  socket.write(`GET / HTTP/1.1\r\nHost: a.example:${server.port}\r\n\r\n`);
  const [answer] = (await once(socket, "data")) as [Buffer];
  expect(answer.toString()).toMatch(/^HTTP\/1\.1 502 .*not in allowed_ips/s);
  expect(server.connections).toBe(0);
  socket.destroy();
});
