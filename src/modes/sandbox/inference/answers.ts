/** What a program is told when its request does not reach a model; the words are those that existing tools look for. */
export interface InferenceRefusal {
  readonly status: number;
  readonly error: string;
  /** Machine code, for events. */
  readonly code: string;
  readonly detail?: string;
  readonly hint?: string;
  /** Seconds. */
  readonly retryAfter?: number;
}

export const NOT_SERVED: InferenceRefusal = {
  status: 403,
  error: "connection not allowed by policy",
  code: "inference_path",
  hint: "inference.local serves POST /v1/chat/completions, /v1/completions, /v1/responses, /v1/embeddings, /v1/messages and GET /v1/models",
};

export const NOT_CONFIGURED: InferenceRefusal = {
  status: 503,
  error: "cluster inference is not configured",
  code: "inference_not_configured",
  hint: "run: openshell inference set --help",
};

export const NO_ROUTE: InferenceRefusal = { status: 400, error: "no compatible inference route available", code: "inference_no_route" };

export function tooLarge(limit: number): InferenceRefusal {
  return { status: 413, error: `request body is larger than ${limit} bytes`, code: "inference_body_size" };
}

export function unreadableBody(problem: string): InferenceRefusal {
  return { status: 400, error: problem, code: "inference_body", hint: "send one JSON object as application/json" };
}

export function overBudget(reason: string, retryAfter: number): InferenceRefusal {
  return {
    status: 429,
    error: "the inference budget of this sandbox is used up",
    code: "inference_budget",
    detail: reason,
    hint: `try again in ${retryAfter} s, or ask the person who owns the sandbox`,
    retryAfter,
  };
}

/** The provider did not answer in time. */
export function timedOut(milliseconds: number): InferenceRefusal {
  return { status: 503, error: `the model did not answer within ${milliseconds / 1000} s`, code: "inference_timeout", hint: "try again" };
}

/** The provider cannot be reached. */
export function unavailable(detail: string): InferenceRefusal {
  return { status: 503, error: "the model cannot be reached", code: "inference_unavailable", detail, hint: "try again later" };
}

/** The provider's answer cannot be used. */
export function badAnswer(detail: string): InferenceRefusal {
  return { status: 502, error: "the model's server did not answer as expected", code: "inference_bad_answer", detail };
}

/** Answers that a second try of the same request cannot change; SDKs of OpenAI and Anthropic would try twice more. */
const FINAL: ReadonlySet<string> = new Set([NOT_CONFIGURED.code]);

/** As the program gets it. */
export function refusalAnswer({ status, error, detail, hint, retryAfter, code }: InferenceRefusal): Response {
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (retryAfter !== undefined) headers["retry-after"] = String(retryAfter);
  if (FINAL.has(code)) headers["x-should-retry"] = "false";
  return new Response(`${JSON.stringify({ error, detail, hint })}\n`, { status, headers });
}
