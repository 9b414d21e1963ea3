/** What a program does with OpenAI's SDK and no arguments: everything comes from the environment. Bundled, then run inside a sandbox. */
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
const messages = [{ role: "user" as const, content: "hello" }];

async function main(): Promise<void> {
  const answer = await client.chat.completions.create({ model: "whatever", messages });
  console.log(`chat: ${answer.model}: ${answer.choices[0]?.message.content}`);
  const { data } = await client.embeddings.create({ model: "whatever", input: "hello", encoding_format: "float" });
  console.log(`embedding: ${data[0]?.embedding.join(",")}`);
  const pieces: string[] = [];
  for await (const chunk of await client.chat.completions.create({ model: "whatever", messages, stream: true })) {
    const piece = chunk.choices[0]?.delta.content ?? "";
    // The model goes on when it hears this: so the first piece was here before the second was sent.
    if (pieces.length === 0) console.log(`models: ${(await client.models.list()).data[0]?.id}`);
    pieces.push(piece);
  }
  console.log(`stream: ${pieces.join("|")}`);
}

void main();
