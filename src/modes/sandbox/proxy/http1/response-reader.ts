import type { ResponseFilter } from "../inspect/ruling.ts";
import { BodyReader, type UntilClose } from "./body.ts";
import { nominatedFields } from "./connection-options.ts";
import { type Field, readFields } from "./fields.ts";
import { FilteredBody } from "./filtered-body.ts";
import type { BodyFraming } from "./framing.ts";
import { HeadError } from "./refused.ts";
import { MAX_RESPONSE_HEAD_BYTES } from "./response-head.ts";
import { statusText } from "./status-text.ts";

/** Servers may send more fields than clients; large cookie sets are the reason. */
const MAX_RESPONSE_FIELDS = 256;
/** Interim answers to one request; nobody needs more than a few `103 Early Hints`. */
const MAX_INTERIM = 32;

// biome-ignore lint/suspicious/noControlCharactersInRegex: control bytes are what is looked for
const STATUS_LINE = /^HTTP\/1\.([01]) (\d{3})(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?$/;
/** Fields between the server and us alone. */
const HOP_BY_HOP: ReadonlySet<string> = new Set(["connection", "keep-alive", "proxy-connection", "upgrade"]);
/** Fields that a `Connection` field must not take away from the client. */
const KEPT: ReadonlySet<string> = new Set(["content-length", "transfer-encoding", "trailer", "date", "set-cookie", "cache-control"]);

export interface AnsweredRequest {
  readonly method: string;
  /** What the client speaks: chunks are for 1.1 alone. */
  readonly version: string;
  /** The client asked for a change of protocol. */
  readonly upgrade: string;
  /** The client speaks HTTP/1.1 and means to go on. */
  readonly keepAlive: boolean;
}

/**
 * Reads the answer to one request and gives what the client gets of it: heads with our own connection options, bodies as they come. Framing
 * that has two readings is a problem, and nothing more of it is passed on (RFC 9112 section 6.3).
 */
export class ResponseReader {
  /** Why the answer cannot be passed on. */
  problem: string | undefined;
  readonly #request: AnsweredRequest;
  readonly #filter: ResponseFilter | undefined;
  /** The body as the client gets it, where a filter changes it. */
  #filtered: FilteredBody | undefined;
  #pending: Buffer | undefined;
  #body: BodyReader | undefined;
  #status = 0;
  #interim = 0;
  #serverCloses = false;

  constructor(request: AnsweredRequest, filter?: ResponseFilter) {
    this.#request = request;
    this.#filter = filter;
  }

  /** Status of the final head; 0 before it. 101: everything behind it is another protocol. */
  get status(): number {
    return this.#status;
  }

  get done(): boolean {
    return this.#status === 101 || this.#body?.done === true;
  }

  /** The server will not take another request. */
  get serverCloses(): boolean {
    return this.#serverCloses;
  }

  /** The client's connection must end behind this answer. */
  get clientCloses(): boolean {
    return !this.#request.keepAlive || this.#body?.untilClose === true;
  }

  /** Consumes bytes of the server: `output` is for the client, `rest` did not belong to the answer. */
  take(bytes: Buffer): { readonly output: readonly Buffer[]; readonly rest: Buffer | undefined } {
    const output: Buffer[] = [];
    let left = this.#pending === undefined ? bytes : Buffer.concat([this.#pending, bytes]);
    this.#pending = undefined;
    while (this.#status === 0) {
      const end = left.indexOf("\r\n\r\n");
      if (end < 0 || end > MAX_RESPONSE_HEAD_BYTES) {
        if (left.length > MAX_RESPONSE_HEAD_BYTES) this.problem = `response head is larger than ${MAX_RESPONSE_HEAD_BYTES} bytes`;
        else this.#pending = left.length === 0 ? undefined : left;
        return { output, rest: undefined };
      }
      const head = this.#readHead(left.toString("latin1", 0, end));
      if (head === undefined) return { output, rest: undefined };
      output.push(head);
      left = left.subarray(end + 4);
    }
    if (this.#body === undefined) return { output, rest: left.length === 0 ? undefined : left };
    const size = this.#readBody(this.#body, left, output);
    if (this.problem !== undefined) return { output, rest: undefined };
    return { output, rest: size < left.length ? left.subarray(size) : undefined };
  }

  #readBody(body: BodyReader, bytes: Buffer, output: Buffer[]): number {
    const filtered = this.#filtered;
    const size = body.take(bytes, filtered === undefined ? undefined : (chunk) => output.push(filtered.pass(chunk)));
    this.problem = body.problem;
    if (filtered !== undefined && body.done) this.#finishFiltered(filtered, body, output);
    else if (filtered === undefined && size > 0) output.push(bytes.subarray(0, size));
    return size;
  }

  #finishFiltered(filtered: FilteredBody, body: BodyReader, output: Buffer[]): void {
    try {
      output.push(filtered.finish(this.#trailers(body)));
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      this.problem = `trailers: ${error.refusal.reason}`;
    }
  }

  /** The server has closed: whether the answer is complete by that, and what the client still gets of it. */
  finish(): { readonly complete: boolean; readonly output: Buffer } {
    const untilClose = this.#body?.untilClose === true;
    return { complete: this.done || untilClose, output: (untilClose ? this.#filtered?.finish([]) : undefined) ?? Buffer.alloc(0) };
  }

  #trailers(body: BodyReader): readonly Field[] {
    return body.trailer === "" ? [] : readFields(body.trailer.slice(0, -2), MAX_RESPONSE_FIELDS);
  }

  #readHead(text: string): Buffer | undefined {
    try {
      return this.#head(text);
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      this.problem = `response head: ${error.refusal.reason}`;
      // Nothing of it has been passed on, also when it is a filter that refuses it.
      this.#status = 0;
      return undefined;
    }
  }

  #head(text: string): Buffer | undefined {
    const end = text.indexOf("\r\n");
    const match = STATUS_LINE.exec(end < 0 ? text : text.slice(0, end));
    if (match === null) return this.#refuse("the server does not speak HTTP/1");
    const status = Number(match[2]);
    const fields = end < 0 ? [] : readFields(text.slice(end + 2), MAX_RESPONSE_FIELDS);
    // A reason phrase is free text of the server, which nobody filters.
    const line = `HTTP/1.1 ${match[2]} ${this.#filter === undefined ? (match[3] ?? "") : statusText(status)}\r\n`;
    if (status === 101) {
      const { upgrade } = this.#request;
      if (upgrade === "" || !switchesTo(upgrade, fields)) return this.#refuse(UNSOLICITED_UPGRADE);
      this.#status = status;
      return this.#write(line, this.#filter?.head(status, fields) ?? fields, `Connection: Upgrade\r\nUpgrade: ${upgrade}\r\n`);
    }
    if (status < 200) {
      if (++this.#interim > MAX_INTERIM) return this.#refuse(`more than ${MAX_INTERIM} interim answers`);
      return this.#write(line, this.#filter?.head(status, fields) ?? fields, "");
    }
    const framing = responseFraming(this.#request.method, status, fields);
    if (typeof framing === "string") return this.#refuse(framing);
    this.#status = status;
    this.#body = new BodyReader(framing, "ignored");
    const options = nominatedFields(fields);
    this.#serverCloses = framing.kind === "close" || options.has("close") || (match[1] === "0" && !options.has("keep-alive"));
    const own = this.clientCloses ? "Connection: close\r\n" : "";
    return this.#filter === undefined ? this.#write(line, fields, own) : this.#writeFiltered(line, fields, own, framing, this.#filter);
  }

  /** Chunks are framed anew for the sake of trailers and extensions, other bodies where the filter may change their length. */
  #writeFiltered(line: string, fields: readonly Field[], own: string, framing: BodyFraming | UntilClose, filter: ResponseFilter): Buffer {
    const shown = filter.head(this.#status, fields);
    if (framing.kind === "none" || (framing.kind !== "chunked" && filter.body === undefined)) return this.#write(line, shown, own);
    const chunked = this.#request.version !== "1.0";
    this.#filtered = new FilteredBody(filter, this.#status, chunked);
    const unframed = shown.filter(({ lower }) => lower !== "content-length" && lower !== "transfer-encoding");
    return this.#write(line, unframed, chunked ? `Transfer-Encoding: chunked\r\n${own}` : own);
  }

  #write(line: string, fields: readonly Field[], own: string): Buffer {
    const dropped = nominatedFields(fields);
    let text = line;
    for (const field of fields) {
      if (HOP_BY_HOP.has(field.lower) || (dropped.has(field.lower) && !KEPT.has(field.lower))) continue;
      text += `${field.name}: ${field.value}\r\n`;
    }
    return Buffer.from(`${text}${own}\r\n`, "latin1");
  }

  #refuse(problem: string): undefined {
    this.problem = problem;
    return undefined;
  }
}

/** `problem` of a 101 that the client did not ask for. */
export const UNSOLICITED_UPGRADE = "the server switched protocols without being asked";

function switchesTo(protocol: string, fields: readonly Field[]): boolean {
  return fields.some((field) => field.lower === "upgrade" && field.value.toLowerCase() === protocol);
}

function responseFraming(method: string, status: number, fields: readonly Field[]): BodyFraming | UntilClose | string {
  let length: string | undefined;
  let coding: string | undefined;
  for (const field of fields) {
    if (field.lower === "content-length") {
      if (length !== undefined && length !== field.value) return "two different Content-Length in the response";
      length = field.value;
    } else if (field.lower === "transfer-encoding") {
      if (coding !== undefined) return "more than one Transfer-Encoding in the response";
      coding = field.value.toLowerCase();
    }
  }
  if (coding !== undefined && length !== undefined) return "Content-Length beside Transfer-Encoding in the response";
  if (coding !== undefined && coding !== "chunked") return "Transfer-Encoding other than chunked in the response";
  if (length !== undefined && !/^\d{1,15}$/.test(length)) return "Content-Length of the response is not a number";
  if (method === "HEAD" || status === 204 || status === 304) return { kind: "none" };
  if (coding !== undefined) return { kind: "chunked" };
  return length === undefined ? { kind: "close" } : { kind: "length", length: Number(length) };
}
