/**
 * A model's server for the tests, on loopback of the machine it runs on: OpenAI's and Anthropic's interfaces, plain and streamed. Prints the
 * port, then each request as one line of JSON. A streamed answer goes on after its first piece when somebody asks for the list of models.
 */
const encoder = new TextEncoder();
const waiting: (() => void)[] = [];

interface Question {
  readonly model: string;
  readonly stream?: boolean;
  /** A long answer, as fast as it is read. */
  readonly flood?: boolean;
}

/** Below what a supervisor passes on of one answer. */
const FLOOD_PIECES = 480;
const FLOOD_PIECE = encoder.encode(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: "x".repeat(65_400) } }] })}\n\n`);

function flood(): Response {
  let left = FLOOD_PIECES;
  const body = new ReadableStream({
    pull(controller) {
      if (left-- > 0) controller.enqueue(FLOOD_PIECE);
      else controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

function chat({ model, stream }: Question): Response {
  const usage = { prompt_tokens: 11, completion_tokens: 22, total_tokens: 33 };
  const about = { id: "c", created: 1, model };
  if (stream !== true) {
    const message = { role: "assistant", content: "hello from the model" };
    return Response.json({ ...about, object: "chat.completion", choices: [{ index: 0, message, finish_reason: "stop" }], usage });
  }
  const chunk = (content: string, more: object = {}) =>
    `data: ${JSON.stringify({ ...about, object: "chat.completion.chunk", choices: [{ index: 0, delta: { content }, finish_reason: null }], ...more })}\n\n`;
  return streamed(chunk("first "), `${chunk("second", { usage })}data: [DONE]\n\n`);
}

function message({ model, stream }: Question): Response {
  const about = { id: "m", type: "message", role: "assistant", model, stop_sequence: null };
  if (stream !== true) {
    const content = [{ type: "text", text: "hello from the model" }];
    return Response.json({ ...about, content, stop_reason: "end_turn", usage: { input_tokens: 11, output_tokens: 22 } });
  }
  const event = (data: { type: string } & Record<string, unknown>) => `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
  const text = (piece: string) => event({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: piece } });
  const start = { ...about, content: [], stop_reason: null, usage: { input_tokens: 11, output_tokens: 1 } };
  return streamed(
    event({ type: "message_start", message: start }) +
      event({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }) +
      text("first "),
    text("second") +
      event({ type: "content_block_stop", index: 0 }) +
      event({ type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 22 } }) +
      event({ type: "message_stop" }),
  );
}

function streamed(first: string, rest: string): Response {
  const body = new ReadableStream({
    async start(controller) {
      controller.enqueue(encoder.encode(first));
      await new Promise<void>((resume) => {
        waiting.push(resume);
      });
      controller.enqueue(encoder.encode(rest));
      controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

function models(): Response {
  for (const resume of waiting.splice(0)) resume();
  return Response.json({ object: "list", data: [{ id: "real-model", object: "model", created: 1, owned_by: "test" }], has_more: false });
}

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  idleTimeout: 0,
  async fetch(request) {
    const { pathname } = new URL(request.url);
    const body = await request.text();
    const { authorization, "x-api-key": key, cookie } = Object.fromEntries(request.headers) as Record<string, string | undefined>;
    console.log(JSON.stringify({ method: request.method, path: pathname, authorization, key, cookie, body }));
    if (pathname === "/v1/models") return models();
    const question = JSON.parse(body) as Question;
    if (!question.model.startsWith("real-model"))
      return Response.json({ error: { message: `no model ${question.model}` } }, { status: 404 });
    if (pathname === "/v1/chat/completions") return question.flood === true ? flood() : chat(question);
    if (pathname === "/v1/messages") return message(question);
    if (pathname === "/v1/embeddings")
      return Response.json({
        object: "list",
        model: question.model,
        data: [{ object: "embedding", index: 0, embedding: [0.25, 0.5] }],
        usage: { prompt_tokens: 3, total_tokens: 3 },
      });
    return Response.json({ error: { message: "no such path" } }, { status: 404 });
  },
});
console.log(`listening ${server.port}`);
