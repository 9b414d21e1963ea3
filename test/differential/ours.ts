/** How we read a connection, with the code that the proxy itself runs, and what a server would get of it. */
import { Exchange } from "../../src/modes/sandbox/proxy/exchange.ts";
import { BodyReader } from "../../src/modes/sandbox/proxy/http1/body.ts";
import type { BodyFraming } from "../../src/modes/sandbox/proxy/http1/framing.ts";
import { readHead } from "../../src/modes/sandbox/proxy/http1/head.ts";
import { hostField } from "../../src/modes/sandbox/proxy/http1/origin-form.ts";
import { type OriginRequest, targetOf } from "../../src/modes/sandbox/proxy/http1/origin-request.ts";
import { canonicalPath } from "../../src/modes/sandbox/proxy/http1/path.ts";
import { HeadError } from "../../src/modes/sandbox/proxy/http1/refused.ts";
import { Conversation } from "../../src/modes/sandbox/proxy/inspect/conversation.ts";
import type { Answer, Ruling } from "../../src/modes/sandbox/proxy/inspect/ruling.ts";
import type { Case } from "./corpus.ts";
import type { Reading, ReadRequest } from "./reading.ts";

export interface OurReading extends Reading {
  /** All bytes that a server gets, and what we mean by them. */
  readonly forwarded: Buffer;
  readonly meant: readonly ReadRequest[];
}

/** `pieces`: how the bytes arrive. */
export async function readOurselves(
  { form, bytes }: Pick<Case, "form" | "bytes">,
  pieces: readonly Buffer[] = [bytes],
): Promise<OurReading> {
  return form === "proxy" ? asProxy(bytes) : await asServer(pieces);
}

const AUTHORITY = { host: "a.example", port: 80 };
const HOST = hostField(AUTHORITY);
const OK = Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");

/** A connection to one server, whose requests are all allowed. */
async function asServer(pieces: readonly Buffer[]): Promise<OurReading> {
  const seen: { readonly request: OriginRequest; readonly canonical: OriginRequest; readonly from: number }[] = [];
  const sent: Buffer[] = [];
  let size = 0;
  let over = false;
  let refused = false;
  const answer = (): Answer => ({ status: 400, fields: [], body: Buffer.alloc(0), close: true });
  const conversation = new Conversation(
    { authority: AUTHORITY, scheme: "http", connected: true },
    {
      rule(request): Ruling {
        try {
          const canonical = { ...request, path: canonicalPath(request.path), upgrade: "" };
          seen.push({ request, canonical, from: size });
          return { kind: "forward", request: canonical };
        } catch (error) {
          if (!(error instanceof HeadError)) throw error;
          refused = true;
          return { kind: "answer", answer: answer() };
        }
      },
      mayGoOn: () => true,
      refuse() {
        refused = true;
        return answer();
      },
      badGateway: answer,
      toClient() {},
      toUpstream(piece) {
        sent.push(Buffer.from(piece));
        size += piece.length;
      },
      openUpstream() {},
      dropUpstream() {},
      finishClient() {
        over = true;
      },
      abort() {
        over = true;
        refused = true;
      },
      holdClient() {},
      releaseClient() {},
      entered() {},
      switched() {},
    },
  );
  for (const piece of pieces) conversation.clientData(piece);
  for (let answered = 0; answered < seen.length && !over; answered++) {
    conversation.upstreamData(OK);
    await Promise.resolve();
  }
  const forwarded = Buffer.concat(sent);
  const bodies = seen.map(({ request, from }, index) => bodyIn(forwarded.subarray(from, seen[index + 1]?.from), request.body));
  const asRead = (which: "request" | "canonical") =>
    seen.map((one, index) => ({ method: one.request.method, target: targetOf(one[which]), host: HOST, ...whole(bodies[index]) }));
  return { requests: asRead("request"), refused, forwarded, meant: asRead("canonical") };
}

/** The explicit proxy takes one request of a connection. */
function asProxy(bytes: Buffer): OurReading {
  const result = readHead(bytes);
  if (result.kind !== "request" || result.head.kind !== "forward")
    return { requests: [], refused: result.kind === "refused", forwarded: Buffer.alloc(0), meant: [] };
  const { head } = result;
  const exchange = new Exchange(head);
  const body = exchange.body(bytes.subarray(result.size));
  const forwarded = Buffer.concat([exchange.requestHead, body ?? Buffer.alloc(0)]);
  const read = { method: head.method, target: head.target, host: hostField(head.authority), ...whole(bodyIn(forwarded, head.body)) };
  return { requests: [read], refused: body === undefined, forwarded, meant: [read] };
}

/** Body of the one request at the start of `message`. */
function bodyIn(message: Buffer, framing: BodyFraming): { readonly body: string; readonly complete: boolean } {
  const reader = new BodyReader(framing);
  const parts: Buffer[] = [];
  reader.take(message.subarray(message.indexOf("\r\n\r\n") + 4), (piece) => parts.push(Buffer.from(piece)));
  return { body: Buffer.concat(parts).toString("latin1"), complete: reader.done };
}

function whole(body: { readonly body: string; readonly complete: boolean } | undefined): { body: string; complete: boolean } {
  return body ?? { body: "", complete: false };
}
