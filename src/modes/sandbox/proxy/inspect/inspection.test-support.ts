/** A proxy on loopback that inspects, with servers behind it, for tests of what passes through. */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { TestCa } from "../../../../../test/internet/certificates.ts";
import { classifyAddress } from "../../../../address/address-class.ts";
import { PolicyEngine } from "../../../../engine/policy-engine.ts";
import type { SecurityEvent } from "../../../../events/event.ts";
import { listenTcp } from "../../../../linux/listener.ts";
import { parsePolicyYaml } from "../../../../policy/yaml.ts";
import type { ProgramIdentity } from "../../box/contract.ts";
import { Credentials } from "../../credentials/model.ts";
import { BinaryTrust } from "../binary-trust.ts";
import { Resolver } from "../destination/resolver.ts";
import type { EgressLimits } from "../limits.ts";
import { type Egress, serveEgress } from "../serve.ts";
import { SandboxCa } from "../tls/sandbox-ca.ts";

const program: ProgramIdentity = {
  pid: 58,
  startTime: 1,
  exe: "/usr/bin/curl",
  file: { device: "1", inode: "2", size: 3, mtimeNs: "4", ctimeNs: "5" },
  ancestors: [],
  commandLine: "curl",
};

export interface Rest {
  readonly ports: readonly number[];
  readonly access?: string;
  readonly enforcement?: "enforce" | "audit";
}

/** The one policy of a test; `more`: other fields of the endpoint. */
export function policyYaml(endpoint: string): string {
  return `version: 1\nnetwork_policies:\n  rule:\n    endpoints:\n      - { host: a.example, ${endpoint} }\n    binaries: [{ path: /usr/bin/curl }]\n`;
}

export class InspectingProxy implements Disposable {
  readonly ca: SandboxCa = new SandboxCa();
  readonly events: SecurityEvent[] = [];
  readonly engine: PolicyEngine = new PolicyEngine();
  readonly port: number;
  readonly egress: Egress;
  readonly upstreamCa: TestCa;

  private constructor(upstreamCa: TestCa, limits: Partial<EgressLimits>, credentials: Credentials) {
    this.upstreamCa = upstreamCa;
    const free = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    this.port = free.port;
    free.stop(true);
    this.egress = serveEgress({
      listenerFd: listenTcp("127.0.0.1", this.port, 64),
      identify: () => ({ known: true, program }),
      engine: this.engine,
      emit: (event) => this.events.push(event),
      trustedCidrs: [],
      ownAddresses: () => new Set(),
      trust: new BinaryTrust(async () => ({ sha256: "00ff" })),
      resolver: new Resolver({ hostsFile: "/nonexistent", system: async () => ["127.0.0.1"] }),
      classify: (address) => (address.startsWith("127.") ? "public" : classifyAddress(address)),
      ca: this.ca,
      authorities: [upstreamCa.certificate],
      credentials,
      limits: { sweepMs: 50, lingerMs: 500, ...limits },
    });
  }

  static async open(limits: Partial<EgressLimits> = {}, credentials: Credentials = new Credentials()): Promise<InspectingProxy> {
    return new InspectingProxy(await TestCa.create(), limits, credentials);
  }

  /** Requests to these ports are decided: `access` is a preset, `rules` a flow sequence. */
  load(endpoint: string): void {
    this.engine.load(parsePolicyYaml(policyYaml(endpoint), { source: "test" }));
  }

  /** A tunnel to a.example behind the proxy's 200. */
  tunnel(port: number): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connectTcp(this.port, "127.0.0.1", () =>
        socket.write(`CONNECT a.example:${port} HTTP/1.1\r\nHost: a.example:${port}\r\n\r\n`),
      );
      socket.once("data", (head: Buffer) => {
        if (head.toString().startsWith("HTTP/1.1 200 ")) resolve(socket);
        else reject(new Error(head.toString()));
      });
      socket.once("error", reject);
    });
  }

  async secure(port: number, protocols: readonly string[], servername = "a.example"): Promise<TLSSocket> {
    const socket = await this.tunnel(port);
    const trust = servername === "a.example" ? { ca: this.ca.certificate } : { rejectUnauthorized: false };
    return await new Promise((resolve, reject) => {
      const tls = connectTls({ socket, servername, ALPNProtocols: [...protocols], ...trust }, () => resolve(tls));
      tls.once("error", reject);
    });
  }

  [Symbol.dispose](): void {
    this.egress[Symbol.dispose]();
  }
}
