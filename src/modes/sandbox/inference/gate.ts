import type { EventSink } from "../../../events/event.ts";
import type { Authority } from "../proxy/http1/authority.ts";
import type { OriginRequest } from "../proxy/http1/origin-request.ts";
import { canonicalPath } from "../proxy/http1/path.ts";
import { HeadError, type Refusal } from "../proxy/http1/refused.ts";
import type { Gate } from "../proxy/inspect/gate.ts";
import { type Answer, ownField, type Ruling } from "../proxy/inspect/ruling.ts";
import { CALLER_FIELD, type InferenceServer } from "./server.ts";
import type { Caller } from "./service.ts";

/** Fields that do not go on: one is ours, the other could take ours away. */
const OWN: ReadonlySet<string> = new Set([CALLER_FIELD, "connection"]);

export interface InferenceGateSetup {
  readonly caller: Caller;
  readonly server: Pick<InferenceServer, "announce">;
  readonly emit: EventSink;
  /** Why the requests are for another server. */
  readonly misdirected: string | undefined;
}

/** Lets every well-formed request of one connection through to the service, which decides; says who asks. */
export class InferenceGate implements Gate {
  readonly #setup: InferenceGateSetup;

  constructor(setup: InferenceGateSetup) {
    this.#setup = setup;
  }

  rule(request: OriginRequest): Ruling {
    const { misdirected, server, caller } = this.#setup;
    if (misdirected !== undefined)
      return { kind: "answer", answer: this.unreadable({ status: 421, code: "misdirected", reason: misdirected }) };
    try {
      const fields = request.fields.filter(({ lower }) => !OWN.has(lower));
      const path = canonicalPath(request.path);
      // A change of protocol is declined as HTTP allows it, by going on without.
      const forwarded = { ...request, path, upgrade: "", fields: [...fields, ownField(CALLER_FIELD, server.announce(caller))] };
      return { kind: "forward", request: forwarded };
    } catch (error) {
      if (error instanceof HeadError) return { kind: "answer", answer: this.unreadable(error.refusal) };
      throw error;
    }
  }

  stillAllowed(): boolean {
    return false;
  }

  mayGoOn(): boolean {
    return true;
  }

  unreadable({ status, code, reason }: Refusal): Answer {
    this.#tell(code, reason);
    return plainAnswer(status, reason);
  }

  badGateway(problem: string): Answer {
    this.#tell("inference_unavailable", problem);
    return plainAnswer(502, `the request could not be answered: ${problem}`);
  }

  switched(): void {}

  #tell(code: string, reason: string): void {
    const { emit, caller } = this.#setup;
    const { scheme, host, port, actor } = caller;
    emit({
      kind: "http",
      time: Date.now(),
      severity: "low",
      action: "denied",
      method: "-",
      url: `${scheme}://${host}`,
      host,
      port,
      engine: "inference",
      code,
      reason,
      ...(actor && { actor }),
    });
  }
}

function plainAnswer(status: number, error: string): Answer {
  return {
    status,
    fields: [ownField("Content-Type", "application/json")],
    body: Buffer.from(`${JSON.stringify({ error })}\n`),
    close: true,
  };
}

/** Ports at which the name is served: those that URLs imply. */
export function isInferenceAuthority({ host, port }: Authority): boolean {
  return host === "inference.local" && (port === 443 || port === 80);
}
