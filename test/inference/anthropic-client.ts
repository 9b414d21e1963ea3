/** What a program does with Anthropic's SDK and no arguments: everything comes from the environment. Bundled, then run inside a sandbox. */
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ maxRetries: 0 });
const question = { model: "whatever", max_tokens: 100, messages: [{ role: "user" as const, content: "hello" }] };

async function main(): Promise<void> {
  const answer = await client.messages.create(question);
  const [block] = answer.content;
  console.log(`message: ${answer.model}: ${block?.type === "text" ? block.text : ""}`);
  const pieces: string[] = [];
  for await (const event of client.messages.stream(question)) {
    if (event.type !== "content_block_delta" || event.delta.type !== "text_delta") continue;
    // The model goes on when it hears this: so the first piece was here before the second was sent.
    if (pieces.length === 0) await client.models.list();
    pieces.push(event.delta.text);
  }
  console.log(`stream: ${pieces.join("|")}`);
}

void main();
