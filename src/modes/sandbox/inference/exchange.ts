import { readAwsKey } from "../../../inference/aws-key.ts";
import type { Protocol } from "../../../inference/protocols.ts";
import { ProviderError } from "../../../inference/provider-client.ts";
import { type InferenceRoute, routeUrl } from "../../../inference/route.ts";
import type { Mask } from "../credentials/mask.ts";
import { type AnswerEnd, passAnswer } from "./answer-stream.ts";
import { badAnswer, type InferenceRefusal, timedOut, unavailable } from "./answers.ts";
import { awsFields } from "./aws-fields.ts";
import { mockAnswer } from "./mock-provider.ts";
import type { ProviderAnswer } from "./provider-connection.ts";
import type { ProviderLink } from "./provider-link.ts";
import { checked, type HeldBytes, readBody, withModel } from "./request-body.ts";
import { answerFields, requestFields, requestQuery } from "./request-fields.ts";
import { estimatedTokens, type TokenUsage, UsageReader } from "./usage.ts";

/** A route in use. */
export interface Served {
  readonly route: InferenceRoute;
  readonly link: ProviderLink;
  /** Hides the credential in answers; undefined: there is none. */
  readonly mask: Mask | undefined;
}

/** How one request ended, once nothing more of its answer comes. */
export interface Outcome {
  readonly status: number;
  /** As the provider counted. */
  readonly usage: TokenUsage | undefined;
  /** For the budget: the provider's count, or an estimate. */
  readonly tokens: number;
  readonly code?: string;
  readonly reason?: string;
}

export interface ExchangePlan {
  readonly request: Request;
  /** Of the request. */
  readonly url: URL;
  readonly protocol: Protocol;
  readonly served: Served;
  readonly held: HeldBytes;
  /** Called exactly once. */
  readonly ended: (outcome: Outcome) => void;
}

export type Exchanged = { readonly response: Response } | { readonly refusal: InferenceRefusal };
type Sent = { readonly answer: ProviderAnswer } | { readonly refusal: InferenceRefusal };

/** One question to a provider and its answer. With a refusal `ended` is not called: whoever answers tells of it. */
export async function exchange(plan: ExchangePlan): Promise<Exchanged> {
  const { request, protocol, served } = plan;
  if (request.method === "GET") return received(plan, await send(plan, undefined), 0);
  const body = await readBody(request, plan.held);
  if ("refusal" in body) return body;
  using _held = body;
  const { model, modelInPath } = served.route;
  const sent = modelInPath || protocol === "aws_bedrock_invoke" ? checked(body.text) : withModel(body.text, model);
  return "refusal" in sent ? sent : received(plan, await send(plan, sent.text), sent.text.length);
}

async function send({ request, url, protocol, served: { route, link } }: ExchangePlan, body: string | undefined): Promise<Sent> {
  if (route.baseUrl.protocol === "mock:") return { answer: fromResponse(mockAnswer(protocol, route.model, isStreamed(body))) };
  // The time limit ends with the head of the answer; the program may go away at any time.
  const ending = new AbortController();
  const timer = setTimeout(() => ending.abort(timedOut(route.timeoutMs)), route.timeoutMs);
  const gone = () => ending.abort(unavailable("the program went away"));
  request.signal.addEventListener("abort", gone, { once: true });
  // Perhaps before it was listened for: nobody pays for a question whose answer nobody reads.
  if (request.signal.aborted) gone();
  try {
    const unsigned = {
      method: request.method,
      url: routeUrl(route, url.pathname, requestQuery(url.searchParams)),
      headers: requestFields(request.headers, route),
      body,
    };
    const key = readAwsKey(route.key);
    const headers = key === undefined ? unsigned.headers : awsFields(unsigned, key, new Date());
    return { answer: await link.send({ ...unsigned, headers, signal: ending.signal }) };
  } catch (error) {
    if (ending.signal.aborted) return { refusal: ending.signal.reason as InferenceRefusal };
    if (error instanceof ProviderError)
      return { refusal: error.failure.kind === "protocol" ? badAnswer(error.message) : unavailable(error.message) };
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function fromResponse({ status, headers, body }: Response): ProviderAnswer {
  return { status, headers, body: body?.getReader() };
}

/** Good enough for canned answers. */
function isStreamed(body: string | undefined): boolean {
  return body !== undefined && /"stream"\s*:\s*true/.test(body);
}

function received({ request, protocol, served, ended }: ExchangePlan, sent: Sent, sentBytes: number): Exchanged {
  if ("refusal" in sent) return sent;
  const { answer } = sent;
  const { status } = answer;
  const headers = answerFields(answer.headers, served.mask);
  const streamed = answer.headers.get("content-type")?.startsWith("text/event-stream") === true;
  const usage = new UsageReader(streamed);
  const finish = ({ bytes, code, problem }: AnswerEnd) => {
    const counted = usage.finish();
    const estimate = status >= 400 || protocol === "model_discovery" ? 0 : estimatedTokens(sentBytes + bytes);
    const tokens = counted === undefined ? estimate : counted.input + counted.output;
    ended({
      status,
      usage: counted,
      tokens,
      ...(code === undefined ? {} : { code }),
      ...(problem === undefined ? {} : { reason: problem }),
    });
  };
  if (answer.body === undefined) {
    finish({ bytes: 0 });
    return { response: new Response(null, { status, headers }) };
  }
  const body = passAnswer(answer.body, { protocol, streamed, usage, mask: served.mask?.body(), ended: finish, gone: request.signal });
  return { response: new Response(body, { status, headers }) };
}
