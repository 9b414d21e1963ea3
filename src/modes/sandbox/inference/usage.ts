import { ByteBudget } from "../proxy/byte-budget.ts";
import { GrowingBuffer } from "../proxy/growing-buffer.ts";

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

const NOTHING = Buffer.alloc(0);
const DATA = Buffer.from("data:");
const UTF8 = new TextDecoder();
const USAGE = '"usage"';
const LINE_END = 10;

/**
 * Finds the numbers of tokens in an answer while it passes: in one JSON object, or in the data lines of a stream of events (`usage` of
 * OpenAI's two interfaces and of Anthropic's; the largest counts, inputs and outputs apart). Only lines that may have some become text.
 */
export class UsageReader {
  readonly #streamed: boolean;
  /** Beginning of a line, or of the object. */
  readonly #pending = new GrowingBuffer(MAX_READ_FOR_USAGE, new ByteBudget(MAX_READ_FOR_USAGE));
  #tooLong = false;
  #input: number | undefined;
  #output: number | undefined;

  /** @param streamed the answer is `text/event-stream` */
  constructor(streamed: boolean) {
    this.#streamed = streamed;
  }

  /** Keeps nothing of the memory that is given. */
  take(chunk: Uint8Array): void {
    if (!this.#streamed) {
      this.#keep(chunk);
      return;
    }
    let start = 0;
    for (let end = chunk.indexOf(LINE_END); end >= 0; end = chunk.indexOf(LINE_END, start)) {
      this.#line(chunk.subarray(start, end));
      start = end + 1;
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start));
  }

  /** Undefined when the provider said nothing that could be read. */
  finish(): TokenUsage | undefined {
    if (this.#streamed) this.#line(NOTHING);
    else this.#read(UTF8.decode(this.#pending.bytes()));
    this.#pending.drop();
    if (this.#input === undefined && this.#output === undefined) return undefined;
    return { input: this.#input ?? 0, output: this.#output ?? 0 };
  }

  #keep(bytes: Uint8Array): void {
    if (this.#tooLong) return;
    if (this.#pending.length + bytes.length <= MAX_READ_FOR_USAGE) {
      this.#pending.append(bytes);
      return;
    }
    this.#pending.drop();
    this.#tooLong = true;
  }

  /** The last bytes of a line, which may be all of it. */
  #line(end: Uint8Array): void {
    if (this.#pending.length === 0 && !this.#tooLong) {
      this.#readLine(end);
      return;
    }
    this.#keep(end);
    this.#readLine(this.#pending.bytes());
    this.#pending.drop();
    this.#tooLong = false;
  }

  #readLine(bytes: Uint8Array): void {
    const line = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    if (line.subarray(0, DATA.length).equals(DATA) && line.includes(USAGE)) this.#read(UTF8.decode(line.subarray(DATA.length)));
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
