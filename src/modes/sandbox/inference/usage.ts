/** Tokens of one request, as the provider counted them. */
export interface TokenUsage {
  readonly input: number;
  readonly output: number;
}

/** One answer, or one line of a stream of events, that is read for its numbers; larger ones are estimated. */
export const MAX_READ_FOR_USAGE = 1024 * 1024;

/** English text has about four bytes a token; used where a provider says nothing. */
const BYTES_PER_TOKEN = 4;

/** What so many bytes of text cost, roughly. */
export function estimatedTokens(bytes: number): number {
  return Math.ceil(bytes / BYTES_PER_TOKEN);
}

/**
 * Finds the numbers of tokens in an answer while it passes: in one JSON object, or in the data lines of a stream of events (`usage` of
 * OpenAI's two interfaces and of Anthropic's; the largest counts, inputs and outputs apart).
 */
export class UsageReader {
  readonly #decoder = new TextDecoder();
  readonly #streamed: boolean;
  #pending = "";
  #tooLong = false;
  #input: number | undefined;
  #output: number | undefined;

  /** @param streamed the answer is `text/event-stream` */
  constructor(streamed: boolean) {
    this.#streamed = streamed;
  }

  take(chunk: Uint8Array): void {
    if (this.#tooLong && !this.#streamed) return;
    const text = this.#decoder.decode(chunk, { stream: true });
    if (!this.#streamed) {
      this.#keep(text);
      return;
    }
    const lines = text.split("\n");
    for (const [index, line] of lines.entries()) {
      this.#keep(line);
      if (index === lines.length - 1) break;
      this.#line();
    }
  }

  /** Undefined when the provider said nothing that could be read. */
  finish(): TokenUsage | undefined {
    if (this.#streamed) this.#line();
    else this.#read(this.#pending);
    this.#pending = "";
    if (this.#input === undefined && this.#output === undefined) return undefined;
    return { input: this.#input ?? 0, output: this.#output ?? 0 };
  }

  #keep(text: string): void {
    if (this.#tooLong) return;
    this.#pending += text;
    if (this.#pending.length <= MAX_READ_FOR_USAGE) return;
    this.#pending = "";
    this.#tooLong = true;
  }

  #line(): void {
    if (this.#pending.startsWith("data:") && this.#pending.includes('"usage"')) this.#read(this.#pending.slice(5));
    this.#pending = "";
    this.#tooLong = false;
  }

  #read(text: string): void {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return;
    }
    // Events of Anthropic and of OpenAI's Responses carry the object of the answer inside.
    for (const holder of [value, member(value, "message"), member(value, "response")]) this.#count(member(holder, "usage"));
  }

  #count(usage: unknown): void {
    const input = sum(usage, ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"]) ?? sum(usage, ["prompt_tokens"]);
    const output = sum(usage, ["output_tokens"]) ?? sum(usage, ["completion_tokens"]);
    // Counts grow while a stream goes on, and a later event may leave out what an earlier one said.
    if (input !== undefined) this.#input = Math.max(this.#input ?? 0, input);
    if (output !== undefined) this.#output = Math.max(this.#output ?? 0, output);
  }
}

function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
}

/** Undefined when none of the members is a count. */
function sum(value: unknown, names: readonly string[]): number | undefined {
  const counts = names
    .map((name) => member(value, name))
    .filter((count): count is number => Number.isSafeInteger(count) && Number(count) >= 0);
  return counts.length === 0 ? undefined : counts.reduce((total, count) => total + count, 0);
}
