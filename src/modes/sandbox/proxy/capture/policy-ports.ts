import { OpenShellError } from "../../../../error.ts";
import type { EventSink } from "../../../../events/event.ts";
import type { Policy } from "../../../../policy/model.ts";
import { DNS_PORT, PROXY_PORT } from "../../box/net-addresses.ts";

/** What programs connect to without anybody naming it: names over TCP, and the web. */
const USUAL_PORTS = [DNS_PORT, 80, 443] as const;
/** Two sockets each; policies name a handful. */
export const MAX_PORTS = 256;

export interface PolicyPortsOptions {
  /** Makes listening sockets; they stay somebody else's. */
  readonly listen: (ports: readonly number[]) => Promise<readonly number[]>;
  /** Takes connections from them. */
  readonly capture: (fds: readonly number[]) => void;
  readonly emit: EventSink;
}

/** Listens, where not every port can be steered to one socket, on the usual ports and those of each policy that comes into force. */
export class PolicyPorts {
  readonly #options: PolicyPortsOptions;
  readonly #covered = new Set<number>();
  #last: Promise<void> = Promise.resolve();

  constructor(options: PolicyPortsOptions) {
    this.#options = options;
  }

  /** Ports are only ever added: what no rule is about any more is decided, and named, all the same. */
  cover(policy: Policy): Promise<void> {
    this.#last = this.#last.then(() => this.#add(policy)).catch((reason) => this.#failed(reason));
    return this.#last;
  }

  async #add(policy: Policy): Promise<void> {
    const wanted = [...new Set([...USUAL_PORTS, ...portsOf(policy)])].filter((port) => port !== PROXY_PORT && !this.#covered.has(port));
    const ports = wanted.slice(0, MAX_PORTS - this.#covered.size);
    if (ports.length > 0) this.#options.capture(await this.#options.listen(ports));
    for (const port of ports) this.#covered.add(port);
    if (ports.length < wanted.length)
      throw new OpenShellError("resource_exhausted", `the policy names more ports than the ${MAX_PORTS} that are listened on`);
  }

  #failed(reason: unknown): void {
    this.#options.emit({
      kind: "finding",
      time: Date.now(),
      severity: "low",
      id: "direct-ports-incomplete",
      title: "Programs that know no proxy do not reach every port of the policy",
      evidence: { reason: OpenShellError.from(reason).message },
      remediation: "let them use the proxy, or run as root, where every port is steered to one socket",
    });
  }
}

function portsOf(policy: Policy): number[] {
  return Object.values(policy.networkPolicies).flatMap((rule) => rule.endpoints.flatMap((endpoint) => endpoint.ports));
}
