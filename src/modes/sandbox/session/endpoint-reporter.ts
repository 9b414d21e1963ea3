import { Code, ConnectError } from "@connectrpc/connect";
import type { HttpEvent, NetworkEvent, SecurityEvent } from "../../../events/event.ts";
import type { Policy } from "../../../policy/model.ts";
import { hostCovers } from "../../../policy/patterns.ts";
import { EndpointResult } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { ServerAnswered } from "../proxy/answered.ts";
import type { GatewayClient } from "./gateway-client.ts";

/** What was last seen of an endpoint. */
export interface EndpointObserved {
  readonly result: EndpointResult;
  /** Machine code of a failure; empty when there was none. */
  readonly code: string;
}

/** Changes wait this long for company: an agent decides how many there are, and each report is a write at the gateway. Milliseconds. */
const REPORT_DELAY = 2_000;

export interface ReporterOptions {
  readonly client: Pick<GatewayClient, "reportEndpointStatus">;
  readonly sandboxId: string;
  /** The policy in force, and its hash at the gateway. */
  current(): { readonly policy: Policy; readonly hash: string; readonly environmentRevision: bigint };
}

/** Tells the gateway how the endpoints of the policy do, from the events: only what changed, and while there is a session. */
export class EndpointReporter {
  readonly #options: ReporterOptions;
  #seen = new Map<string, EndpointObserved>();
  #unreported = new Set<string>();
  #hash = "";
  #session: string | undefined;
  #sequence = 0n;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sending = false;

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  /** The session with the gateway; undefined while there is none. */
  set session(id: string | undefined) {
    this.#session = id;
    this.#schedule();
  }

  stop(): void {
    this.#session = undefined;
    clearTimeout(this.#timer);
  }

  observe(event: SecurityEvent): void {
    if (event.kind !== "network" && event.kind !== "http") return;
    const observed = resultOf(event);
    if (observed !== undefined) this.#record(event, observed);
  }

  /** A server has answered. */
  answered(answer: ServerAnswered): void {
    this.#record(answer, answerResult(answer.status));
  }

  #record(about: About, observed: EndpointObserved): void {
    const { policy, hash } = this.#options.current();
    if (hash !== this.#hash) {
      // Other endpoints may go by the same names now.
      this.#hash = hash;
      this.#seen = new Map();
      this.#unreported = new Set();
    }
    for (const id of endpointsOf(policy, about)) {
      const before = this.#seen.get(id);
      if (before?.result === observed.result && before.code === observed.code) continue;
      // Another connection says less than what was answered in an earlier one.
      if (observed.result === EndpointResult.NO_OBSERVED_EXCHANGE && before !== undefined && ANSWERS.has(before.result)) continue;
      this.#seen.set(id, observed);
      this.#unreported.add(id);
    }
    this.#schedule();
  }

  #schedule(): void {
    if (this.#session === undefined || this.#unreported.size === 0 || this.#sending || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#send();
    }, REPORT_DELAY);
  }

  async #send(): Promise<void> {
    const { client, sandboxId, current } = this.#options;
    const session = this.#session;
    const ids = [...this.#unreported];
    if (session === undefined || ids.length === 0) return;
    const observations = ids.flatMap((endpointId) => {
      const observed = this.#seen.get(endpointId);
      if (observed === undefined) return [];
      return [{ endpointId, result: observed.result, ...(observed.code === "" ? {} : { failure: { code: observed.code } }) }];
    });
    this.#unreported = new Set();
    this.#sending = true;
    this.#sequence += 1n;
    try {
      await client.reportEndpointStatus({
        sandboxId,
        policyHash: this.#hash,
        providerEnvRevision: current().environmentRevision,
        observations,
        observedEndpointIds: [...this.#seen.keys()],
        supervisorSessionId: session,
        reportSequence: this.#sequence,
      });
    } catch (error) {
      // What the gateway does not take it would not take again.
      if (error instanceof ConnectError && REFUSED.has(error.code)) return;
      // The session was lost meanwhile, or the gateway is away: the next one is told.
      for (const id of ids) if (this.#seen.has(id)) this.#unreported.add(id);
    } finally {
      this.#sending = false;
    }
    this.#schedule();
  }
}

const REFUSED: ReadonlySet<Code> = new Set([Code.InvalidArgument, Code.PermissionDenied, Code.NotFound, Code.Unimplemented]);

const ANSWERS: ReadonlySet<EndpointResult> = new Set([EndpointResult.HTTP_RESPONSE_RECEIVED, EndpointResult.UPSTREAM_REJECTED]);

/** 401 and 403 are the server's word on who asks; 407 is a proxy's. */
const REJECTIONS: ReadonlySet<number> = new Set([401, 403, 407]);

/** What an answer says of its endpoint: that there is one, and whether the server took the caller. */
export function answerResult(status: number): EndpointObserved {
  if (!REJECTIONS.has(status)) return { result: EndpointResult.HTTP_RESPONSE_RECEIVED, code: "" };
  return { result: EndpointResult.UPSTREAM_REJECTED, code: `http_${status}` };
}

/** What an event says of the endpoint that it was about; undefined: nothing. */
export function resultOf(event: NetworkEvent | HttpEvent): EndpointObserved | undefined {
  const failed = (result: EndpointResult): EndpointObserved => ({ result, code: event.code ?? "" });
  if (event.kind === "http") {
    if (event.engine === "credentials" && event.action === "denied") return failed(EndpointResult.CREDENTIAL_UNAVAILABLE);
    return event.stage === "l7_deny" ? failed(EndpointResult.POLICY_DENIED) : undefined;
  }
  if (event.activity === "fail") return failed(isAboutTls(event) ? EndpointResult.TLS_FAILED : EndpointResult.TRANSPORT_FAILED);
  // A program that no rule names says nothing of the endpoint; an address that may not be dialled does.
  if (event.action === "denied") return event.stage === "ssrf" ? failed(EndpointResult.POLICY_DENIED) : undefined;
  // It was reached; whether it answers is known where requests are read.
  return event.activity === "open" && event.engine === "opa" ? { result: EndpointResult.NO_OBSERVED_EXCHANGE, code: "" } : undefined;
}

function isAboutTls({ code = "", reason = "" }: NetworkEvent): boolean {
  return code.startsWith("tls_") || /\b(certificate|TLS)\b/i.test(reason);
}

type About = Pick<NetworkEvent | HttpEvent | ServerAnswered, "host" | "port" | "policy">;

/** Ids (`RULE/INDEX`) of the endpoints that an event is about: of its rule, or of any when it names none. */
function endpointsOf({ networkPolicies }: Policy, { host, port, policy }: About): string[] {
  return Object.entries(networkPolicies).flatMap(([rule, { endpoints }]) =>
    policy !== undefined && policy !== rule
      ? []
      : endpoints.flatMap((endpoint, index) =>
          endpoint.ports.includes(port) && hostCovers(endpoint.host, host.toLowerCase()) ? [`${rule}/${index}`] : [],
        ),
  );
}
