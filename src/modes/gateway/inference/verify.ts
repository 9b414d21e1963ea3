import { OpenShellError } from "../../../error.ts";
import { readAwsKey } from "../../../inference/aws-key.ts";
import { type Probe, probes } from "../../../inference/probe.ts";
import type { Protocol } from "../../../inference/protocols.ts";
import { ProviderClient, ProviderError, type Reach } from "../../../inference/provider-client.ts";
import { authenticationFields, type InferenceRoute, routeUrl } from "../../../inference/route.ts";

/** What a provider has answered to. */
export interface ValidatedEndpoint {
  readonly url: string;
  readonly protocol: Protocol;
}

/** A person waits for this. Milliseconds for each question. */
const PROBE_TIMEOUT_MS = 20_000;
/** Of an answer that refuses: enough for its message. */
const MAX_REFUSAL_BYTES = 4096;
/** Statuses that mean: not this question, but perhaps another. */
const OTHER_QUESTION: ReadonlySet<number> = new Set([400, 404, 405, 415, 422, 501]);
const NEXT = "correct the provider or the model, or set the route all the same with --no-verify";

/**
 * Asks the provider of a route the smallest question that its model understands. Undefined: a key that signs is used by supervisors alone,
 * and nothing was asked.
 * @throws OpenShellError `failed_precondition` when it answers none; the credential is never part of the message
 */
export async function verifyRoute(route: InferenceRoute, reach: Reach): Promise<ValidatedEndpoint | undefined> {
  if (readAwsKey(route.key) !== undefined) return undefined;
  const hide = (text: string): string => (route.key === "" ? text : text.replaceAll(route.key, "***"));
  if (route.baseUrl.protocol === "mock:") return { url: route.baseUrl.href, protocol: route.protocols[0] ?? "model_discovery" };
  using client = new ProviderClient(route, reach);
  let refusal: string | undefined;
  for (const probe of probes(route)) {
    const url = routeUrl(route, probe.path);
    const answer = await ask(client, route, probe, url);
    if (answer.ok) {
      await answer.body?.cancel();
      return { url: url.href, protocol: probe.protocol };
    }
    const said = hide(await beginning(answer)).trim();
    const what = `${url.href} answered ${answer.status}${said === "" ? "" : `: ${said}`}`;
    if (!OTHER_QUESTION.has(answer.status)) throw failed(what);
    // The first is about the question that programs ask most.
    refusal ??= what;
  }
  throw failed(refusal ?? "no question is known that would show whether the route works");
}

async function ask(client: ProviderClient, route: InferenceRoute, { body }: Probe, url: URL): Promise<Response> {
  const headers = {
    ...{ "content-type": "application/json", accept: "application/json", "accept-encoding": "identity", "user-agent": "openshell" },
    ...route.provider.defaultFields,
    ...authenticationFields(route),
  };
  const limit = Math.min(route.timeoutMs, PROBE_TIMEOUT_MS);
  const signal = AbortSignal.timeout(limit);
  try {
    return await client.send({ method: "POST", url, headers, body: JSON.stringify(body), signal });
  } catch (error) {
    if (signal.aborted) throw failed(`${url.href} did not answer within ${limit / 1000} s`);
    if (error instanceof ProviderError) throw failed(`${url.href} cannot be reached: ${error.message}`);
    throw error;
  }
}

/** One line of what was said, at most `MAX_REFUSAL_BYTES`. */
async function beginning(answer: Response): Promise<string> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const piece of answer.body ?? []) {
      pieces.push(piece);
      size += piece.length;
      if (size >= MAX_REFUSAL_BYTES) break;
    }
  } catch {
    // What has come is enough.
  }
  const text = Buffer.concat(pieces).subarray(0, MAX_REFUSAL_BYTES).toString();
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control bytes are what is replaced
  return text.replace(/[\x00-\x1f\x7f]+/g, " ").slice(0, 300);
}

function failed(what: string): OpenShellError {
  return new OpenShellError("failed_precondition", `the route was not verified: ${what}`, { next: NEXT });
}
