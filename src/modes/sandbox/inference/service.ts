import type { Actor, EventSink, InferenceDetails } from "../../../events/event.ts";
import { readAwsKey } from "../../../inference/aws-key.ts";
import { type Protocol, protocolOf } from "../../../inference/protocols.ts";
import { type InferenceRoute, SYSTEM_ROUTE } from "../../../inference/route.ts";
import { Mask } from "../credentials/mask.ts";
import { type InferenceRefusal, NO_ROUTE, NOT_CONFIGURED, NOT_SERVED, overBudget, refusalAnswer } from "./answers.ts";
import { InferenceBudget } from "./budget.ts";
import { exchange, type Outcome, type Served } from "./exchange.ts";
import type { InferenceLimits } from "./limits.ts";
import { ProviderLink, type ProviderReach } from "./provider-link.ts";
import { HeldBytes } from "./request-body.ts";

/** Where questions go, and how many there may be; replaced as a whole. */
export interface InferenceSettings {
  readonly routes: readonly InferenceRoute[];
  readonly limits: InferenceLimits;
}

/** Who asks, and how the question arrived; for events. */
export interface Caller {
  readonly actor?: Actor;
  readonly scheme: "http" | "https";
  readonly host: string;
  readonly port: number;
}

export interface ServiceOptions extends ProviderReach {
  readonly settings: InferenceSettings;
  readonly emit: EventSink;
}

/** Answers requests for `inference.local`: chooses the route, names the model, pays, counts, and passes the provider's answer on. */
export class InferenceService implements Disposable {
  readonly #options: ServiceOptions;
  readonly #budget: InferenceBudget;
  readonly #held = new HeldBytes();
  #served: readonly Served[] = [];

  constructor(options: ServiceOptions) {
    this.#options = options;
    this.#budget = new InferenceBudget(options.settings.limits);
    this.use(options.settings);
  }

  /** Routes that programs may use, in the order in which they are tried. */
  get routes(): readonly InferenceRoute[] {
    return this.#served.map(({ route }) => route).filter(forPrograms);
  }

  set limits(limits: InferenceLimits) {
    this.#budget.limits = limits;
  }

  /** Puts routes and limits in force for the next request; those under way go on as they began. */
  use({ routes, limits }: InferenceSettings): void {
    this[Symbol.dispose]();
    this.#budget.limits = limits;
    this.#served = routes.map((route) => ({
      route,
      link: new ProviderLink(route, this.#options),
      mask: route.key === "" ? undefined : new Mask(secretsOf(route.key)),
    }));
  }

  [Symbol.dispose](): void {
    for (const { link } of this.#served) link[Symbol.dispose]();
    this.#served = [];
  }

  /** A program's request. Each has one event, when its answer is over. */
  answer(request: Request, caller: Caller): Promise<Response> {
    return this.#answer(request, caller, forPrograms);
  }

  /** A question of the supervisor's own: by its own route when there is one, else by the programs'. The path decides the protocol. */
  ask(request: Request): Promise<Response> {
    const own = this.#served.some(({ route }) => !forPrograms(route));
    const caller: Caller = { scheme: "https", host: "inference.local", port: 443 };
    return this.#answer(request, caller, (route) => forPrograms(route) !== own);
  }

  async #answer(request: Request, caller: Caller, visible: (route: InferenceRoute) => boolean): Promise<Response> {
    const begun = performance.now();
    const url = new URL(request.url);
    const tell = this.#teller(request.method, url.pathname, caller);
    const refuse = async (refusal: InferenceRefusal, details?: InferenceDetails) => {
      await unread(request);
      tell(
        {
          action: "denied",
          code: refusal.code,
          reason: refusal.detail === undefined ? refusal.error : `${refusal.error}: ${refusal.detail}`,
        },
        details,
      );
      return refusalAnswer(refusal);
    };
    const protocol = protocolOf(request.method, url.pathname);
    if (protocol === undefined) return refuse(NOT_SERVED);
    const mine = this.#served.filter(({ route }) => visible(route));
    if (mine.length === 0) return refuse(NOT_CONFIGURED);
    const served = mine.find(({ route }) => route.protocols.includes(protocol));
    if (served === undefined) return refuse(NO_ROUTE);
    const admission = this.#budget.admit(begun);
    if (!admission.admitted) return refuse(overBudget(admission.reason, admission.retryAfter));

    const details = (status: number) => detailsOf(served.route, protocol, status, performance.now() - begun);
    const ended = ({ status, usage, tokens, code, reason }: Outcome) => {
      this.#budget.ended(performance.now(), tokens);
      const counted = usage === undefined ? {} : { inputTokens: usage.input, outputTokens: usage.output };
      tell({ action: "allowed", ...(code && { code }), ...(reason && { reason }) }, { ...details(status), ...counted });
    };
    const exchanged = await exchange({ request, url, protocol, served, held: this.#held, ended }).catch((error: unknown) => {
      this.#budget.ended(performance.now(), 0);
      throw error;
    });
    if ("response" in exchanged) return exchanged.response;
    this.#budget.ended(performance.now(), 0);
    return refuse(exchanged.refusal, details(exchanged.refusal.status));
  }

  #teller(method: string, path: string, { actor, scheme, host, port }: Caller) {
    return (said: { action: "allowed" | "denied"; code?: string; reason?: string }, inference?: InferenceDetails) =>
      this.#options.emit({
        kind: "http",
        time: Date.now(),
        severity: said.action === "denied" ? "medium" : said.code === undefined ? "informational" : "low",
        method,
        url: `${scheme}://${host}${path}`,
        host,
        port,
        engine: "inference",
        ...(actor && { actor }),
        ...(inference && { inference }),
        ...said,
      });
  }
}

/** Bytes of a refused body that are read all the same: an answer in the middle of it is taken for a fault by some clients. */
const MAX_UNREAD_BYTES = 32 * 1024 * 1024;

/** Takes what is left of a body, and forgets it. */
async function unread(request: Request): Promise<void> {
  if (request.body === null || request.bodyUsed) return;
  let size = 0;
  try {
    for await (const piece of request.body) {
      size += piece.length;
      if (size > MAX_UNREAD_BYTES) break;
    }
  } catch {
    // The program is gone; there is nobody to answer.
  }
}

/** What no answer may show: of a key that signs, the parts that are secret. */
function secretsOf(key: string): string[] {
  const aws = readAwsKey(key);
  return aws === undefined ? [key] : [aws.secretAccessKey, ...(aws.sessionToken === undefined ? [] : [aws.sessionToken])];
}

function forPrograms({ name }: InferenceRoute): boolean {
  return name !== SYSTEM_ROUTE;
}

function detailsOf({ name, provider, model }: InferenceRoute, protocol: Protocol, status: number, duration: number): InferenceDetails {
  return { route: name, provider: provider.name, model, protocol, status, durationMs: Math.round(duration) };
}
