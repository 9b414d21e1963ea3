import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { HttpEvent, SecurityEvent } from "../../../events/event.ts";
import { PROTOCOLS } from "../../../inference/protocols.ts";
import { providerType } from "../../../inference/provider-types.ts";
import { DEFAULT_TIMEOUT_MS, type InferenceRoute } from "../../../inference/route.ts";
import { DEFAULT_INFERENCE_LIMITS, type InferenceLimits, MAX_BODY_BYTES } from "./limits.ts";
import { CALLER_FIELD, serveInference } from "./server.ts";
import { InferenceService } from "./service.ts";

const KEY = "sk-the-real-key-0123456789";
const directory = mkdtempSync(join(tmpdir(), "inference-"));
afterAll(() => rmSync(directory, { recursive: true }));
let sockets = 0;

/** What a provider of the tests saw and how it answers. */
interface Provider extends Disposable {
  readonly url: string;
  readonly seen: { method: string; path: string; headers: Headers; body: string }[];
}

function provider(answer: (request: Request, body: string) => Response | Promise<Response>): Provider {
  const seen: Provider["seen"] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const body = await request.text();
      seen.push({ method: request.method, path: pathname + search, headers: request.headers, body });
      return answer(request, body);
    },
  });
  return { url: `http://model.test:${server.port}/v1`, seen, [Symbol.dispose]: () => void server.stop(true) };
}

function route(url: string, more: Partial<InferenceRoute> = {}): InferenceRoute {
  const type = providerType("openai");
  if (type === undefined) throw new TypeError("no type");
  return {
    name: "inference.local",
    provider: type,
    baseUrl: new URL(url),
    model: "the-model",
    protocols: PROTOCOLS,
    key: KEY,
    timeoutMs: DEFAULT_TIMEOUT_MS,
    modelInPath: false,
    ...more,
  };
}

/** The service behind its socket, as the proxy reaches it. */
function serve(routes: readonly InferenceRoute[], limits: Partial<InferenceLimits> = {}) {
  const events: HttpEvent[] = [];
  const service = new InferenceService({
    settings: { routes, limits: { ...DEFAULT_INFERENCE_LIMITS, ...limits } },
    emit: (event: SecurityEvent) => void events.push(event as HttpEvent),
    resolve: async () => ["127.0.0.1"],
    authorities: [],
  });
  const server = serveInference(service, join(directory, `${++sockets}.sock`));
  const ask = (path: string, init: RequestInit = {}) =>
    fetch(`http://inference.local${path}`, {
      unix: server.socketPath,
      ...init,
      headers: {
        ...(init.headers as Record<string, string>),
        [CALLER_FIELD]: server.announce({ scheme: "https", host: "inference.local", port: 443 }),
      },
    });
  return {
    service,
    events,
    ask,
    post: (path: string, body: unknown, init: RequestInit = {}) =>
      ask(path, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body), ...init }),
    [Symbol.dispose]: () => {
      server[Symbol.dispose]();
      service[Symbol.dispose]();
    },
  };
}

test("case-82 a chat goes to the backend with the route's model and credential, whatever the program sent", async () => {
  using backend = provider(() => Response.json({ ok: true, usage: { prompt_tokens: 5, completion_tokens: 7 } }));
  using inference = serve([route(backend.url)]);
  const answer = await inference.post(
    "/v1/chat/completions?beta=true&key=mine",
    { model: "dearest", messages: [] },
    {
      headers: {
        authorization: "Bearer mine",
        "x-api-key": "mine",
        cookie: "a=b",
        "content-type": "application/json",
        "x-model-id": "m",
        "openai-organization": "o",
      },
    },
  );
  expect(answer.status).toBe(200);
  expect(await answer.json()).toEqual({ ok: true, usage: { prompt_tokens: 5, completion_tokens: 7 } });
  const [seen] = backend.seen;
  expect(seen).toMatchObject({ method: "POST", path: "/v1/chat/completions?beta=true", body: '{"model":"the-model","messages":[]}' });
  expect(seen?.headers.get("authorization")).toBe(`Bearer ${KEY}`);
  expect(seen?.headers.get("host")).toStartWith("model.test:");
  expect([...(seen?.headers.keys() ?? [])].sort()).toEqual(
    [
      "accept",
      "accept-encoding",
      "authorization",
      "connection",
      "content-length",
      "content-type",
      "host",
      "openai-organization",
      "user-agent",
      "x-model-id",
    ].sort(),
  );
  const models = await inference.ask("/v1/models");
  expect(models.status).toBe(200);
  await models.text();
  expect(backend.seen[1]).toMatchObject({ method: "GET", path: "/v1/models" });
  expect(inference.events).toMatchObject([
    {
      action: "allowed",
      url: "https://inference.local/v1/chat/completions",
      inference: { status: 200, inputTokens: 5, outputTokens: 7, model: "the-model" },
    },
    { action: "allowed", inference: { protocol: "model_discovery" } },
  ]);
  expect(JSON.stringify(inference.events)).not.toContain(KEY);
});

test("case-83 what is no question to a model is refused", async () => {
  using inference = serve([route("mock://x")]);
  for (const [method, path] of [
    ["GET", "/anything"],
    ["GET", "/v1/chat/completions"],
    ["POST", "/v1/models"],
    ["DELETE", "/v1/models/x"],
    ["POST", "/v1/files"],
  ] as const) {
    const answer = await inference.ask(path, { method });
    expect(answer.status).toBe(403);
    expect(((await answer.json()) as { error: string }).error).toBe("connection not allowed by policy");
  }
  expect(inference.events).toHaveLength(5);
});

test("case-84 a route without the protocol", async () => {
  using inference = serve([route("mock://x", { protocols: ["anthropic_messages"] })]);
  const answer = await inference.post("/v1/chat/completions", {});
  expect(answer.status).toBe(400);
  expect(((await answer.json()) as { error: string }).error).toBe("no compatible inference route available");
});

test("case-85 no routes, then routes, then none again", async () => {
  using inference = serve([]);
  const answer = await inference.post("/v1/chat/completions", {});
  expect(answer.status).toBe(503);
  expect(await answer.json()).toEqual({ error: "cluster inference is not configured", hint: "run: openshell inference set --help" });
  inference.service.use({ routes: [route("mock://x")], limits: DEFAULT_INFERENCE_LIMITS });
  expect((await inference.post("/v1/chat/completions", {})).status).toBe(200);
  inference.service.use({ routes: [route("mock://x", { name: "sandbox-system" })], limits: DEFAULT_INFERENCE_LIMITS });
  expect((await inference.post("/v1/chat/completions", {})).status).toBe(503);
});

test("case-86 a stream arrives piece by piece, and an endless one is cut with an error that clients understand", async () => {
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const encoder = new TextEncoder();
  const filler = encoder.encode(`data: ${"x".repeat(1024 * 1024)}\n\n`);
  using backend = provider(
    () =>
      new Response(
        new ReadableStream({
          async start(controller) {
            controller.enqueue(encoder.encode("data: first\n\n"));
            await released;
            for (let i = 0; i < 33; i++) controller.enqueue(filler);
          },
        }),
        { headers: { "content-type": "text/event-stream" } },
      ),
  );
  using inference = serve([route(backend.url)]);
  const answer = await inference.post("/v1/chat/completions", { stream: true });
  const reader = answer.body?.getReader();
  expect(new TextDecoder().decode((await reader?.read())?.value)).toBe("data: first\n\n");
  // The first piece is here although the provider has not gone on.
  release();
  let size = 0;
  let tail = "";
  for (;;) {
    const piece = await reader?.read();
    if (piece?.value === undefined) break;
    size += piece.value.length;
    tail = (tail + new TextDecoder().decode(piece.value)).slice(-200);
  }
  expect(size).toBeLessThan(33 * 1024 * 1024);
  expect(tail).toContain('data: {"error":{"type":"api_error"');
  expect(inference.events).toMatchObject([{ action: "allowed", code: "inference_answer_size" }]);
});

test("case-86 a body of 11 MiB is refused, by length and in chunks; nothing reaches the provider", async () => {
  using backend = provider(() => Response.json({}));
  using inference = serve([route(backend.url)]);
  const body = JSON.stringify({ prompt: "x".repeat(MAX_BODY_BYTES) });
  expect((await inference.post("/v1/completions", body)).status).toBe(413);
  const chunked = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(body));
      controller.close();
    },
  });
  expect((await inference.ask("/v1/completions", { method: "POST", body: chunked })).status).toBe(413);
  expect(backend.seen).toEqual([]);
});

test("case-87 Anthropic's key and version; a version of the program's own is kept", async () => {
  using backend = provider(() => Response.json({}));
  using inference = serve([route(backend.url, { provider: providerType("anthropic") ?? never() })]);
  await inference.post("/v1/messages", {}, { headers: { authorization: "Bearer mine", "anthropic-beta": "b" } });
  await inference.post("/v1/messages", {}, { headers: { "anthropic-version": "2024-01-01", "x-api-key": "mine" } });
  const [first, second] = backend.seen;
  expect(first?.headers.get("x-api-key")).toBe(KEY);
  expect(first?.headers.get("authorization")).toBeNull();
  expect(first?.headers.get("anthropic-version")).toBe("2023-06-01");
  expect(first?.headers.get("anthropic-beta")).toBe("b");
  expect(second?.headers.get("anthropic-version")).toBe("2024-01-01");
  expect(second?.headers.get("x-api-key")).toBe(KEY);
});

test("a body that readers could read in two ways reaches no provider", async () => {
  using backend = provider(() => Response.json({}));
  using inference = serve([route(backend.url)]);
  const gzipped = { headers: { "content-encoding": "gzip" } };
  for (const [body, init] of [
    ["not json"],
    ["[]"],
    [""],
    ['{"model":"a","model":"b"}'],
    ['{"Model":"a"}'],
    ['{"model":"a"} x'],
    ["{}", gzipped],
  ] as [string, RequestInit?][]) {
    const answer = await inference.post("/v1/chat/completions", body, init);
    expect(`${body} ${answer.status}`).toBe(`${body} 400`);
  }
  expect(backend.seen).toEqual([]);
});

test("the credential is hidden when the provider repeats it", async () => {
  using backend = provider(() => new Response(`you sent ${KEY}`, { headers: { "x-echo": `Bearer ${KEY}`, "set-cookie": "a=b" } }));
  using inference = serve([route(backend.url)]);
  const answer = await inference.post("/v1/chat/completions", {});
  expect(await answer.text()).toBe(`you sent ${"*".repeat(KEY.length)}`);
  expect(answer.headers.get("x-echo")).toBe(`Bearer ${"*".repeat(KEY.length)}`);
  expect(answer.headers.get("set-cookie")).toBeNull();
});

test("a program that goes away ends the request to the provider", async () => {
  let cancelled = () => {};
  const gone = new Promise<void>((resolve) => {
    cancelled = resolve;
  });
  using backend = provider((request) => {
    request.signal.addEventListener("abort", () => cancelled());
    return new Response(new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode("data: 1\n\n")) }), {
      headers: { "content-type": "text/event-stream" },
    });
  });
  using inference = serve([route(backend.url)]);
  const leaving = new AbortController();
  const answer = await inference.post("/v1/chat/completions", {}, { signal: leaving.signal });
  await answer.body?.getReader().read();
  leaving.abort();
  await gone;
});

test("a provider that does not answer in time, one that is not there, and one that speaks something else", async () => {
  using silent = provider(() => new Promise<Response>(() => {}));
  using slow = serve([route(silent.url, { timeoutMs: 50 })]);
  const late = await slow.post("/v1/chat/completions", {});
  expect(late.status).toBe(503);
  expect(slow.events).toMatchObject([{ action: "denied", code: "inference_timeout", inference: { status: 503 } }]);
  using nobody = serve([route("http://model.test:1/v1")]);
  expect((await nobody.post("/v1/chat/completions", {})).status).toBe(503);
  using talker = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: (socket) => void socket.end("SSH-2.0-x\r\n\r\n") } });
  using strange = serve([route(`http://model.test:${talker.port}/v1`)]);
  expect([502, 503]).toContain((await strange.post("/v1/chat/completions", {})).status);
});

test("statuses of the provider pass as they are, redirects lead nowhere", async () => {
  using backend = provider(
    () =>
      new Response('{"error":{"message":"slow down"}}', { status: 429, headers: { "retry-after": "7", location: "http://elsewhere/" } }),
  );
  using inference = serve([route(backend.url)]);
  const answer = await inference.post("/v1/chat/completions", {});
  expect([answer.status, answer.headers.get("retry-after"), answer.headers.get("location")]).toEqual([429, "7", null]);
});

test("threat-30 requests and tokens have a budget, told as 429 with the time to wait", async () => {
  using backend = provider(() => Response.json({ usage: { prompt_tokens: 60, completion_tokens: 50 } }));
  using few = serve([route(backend.url)], { requestsPerMinute: 2 });
  const statuses: number[] = [];
  for (let i = 0; i < 3; i++) statuses.push((await few.post("/v1/chat/completions", {})).status);
  expect(statuses).toEqual([200, 200, 429]);
  using costly = serve([route(backend.url)], { tokensPerHour: 100 });
  const first = await costly.post("/v1/chat/completions", {});
  await first.text();
  const second = await costly.post("/v1/chat/completions", {});
  expect(second.status).toBe(429);
  expect(Number(second.headers.get("retry-after"))).toBeGreaterThan(3000);
  expect(costly.events.at(-1)).toMatchObject({ action: "denied", code: "inference_budget" });
});

test("nobody asks who was not announced", async () => {
  using inference = serve([route("mock://x")]);
  await inference.ask("/v1/models");
  const answer = await fetch("http://inference.local/v1/models", {
    unix: join(directory, `${sockets}.sock`),
    headers: { [CALLER_FIELD]: "1" },
  });
  expect(answer.status).toBe(403);
});

test("a directory whose path is too long for a socket", async () => {
  const deep = join(directory, "d".repeat(200));
  mkdirSync(deep);
  const service = new InferenceService({
    settings: { routes: [route("mock://x")], limits: DEFAULT_INFERENCE_LIMITS },
    emit: () => {},
    resolve: async () => [],
    authorities: [],
  });
  using server = serveInference(service, join(deep, "inference.sock"));
  const headers = { [CALLER_FIELD]: server.announce({ scheme: "https", host: "inference.local", port: 443 }) };
  expect((await fetch("http://inference.local/v1/models", { unix: server.socketPath, headers })).status).toBe(200);
  expect(statSync(join(deep, "inference.sock")).mode & 0o777).toBe(0o600);
});

test("the supervisor's own questions go by their own route", async () => {
  using programs = provider(() => Response.json({}));
  using own = provider(() => Response.json({}));
  using inference = serve([route(own.url, { name: "sandbox-system", model: "small" }), route(programs.url)]);
  const question = () => new Request("http://inference.local/v1/chat/completions", { method: "POST", body: "{}" });
  expect((await inference.service.ask(question())).status).toBe(200);
  expect(own.seen[0]?.body).toBe('{"model":"small"}');
  await inference.post("/v1/chat/completions", {});
  expect([own.seen.length, programs.seen.length]).toEqual([1, 1]);
});

function never(): never {
  throw new TypeError("unreachable");
}
