import { expect, test } from "bun:test";
import { frame, frameHead, OPCODE } from "../proxy/websocket/frame.ts";
import { Mask } from "./mask.ts";
import { MessageMask, maskedStream } from "./message-mask.ts";

const SECRET = "top-secret-1";
const mask = new Mask([SECRET]);
const message = (text: string) => frame(OPCODE.text, Buffer.from(text), undefined);
const part = (opcode: number, fin: boolean, text: string) =>
  Buffer.concat([frameHead({ fin, opcode, length: text.length }, undefined), Buffer.from(text)]);

test("threat-13 messages of a server are masked however they are cut, and nothing waits behind the end of one", () => {
  const bytes = Buffer.concat([
    message(`echo:${SECRET} ${"x".repeat(200)} top-`),
    frame(OPCODE.ping, Buffer.from(SECRET), undefined),
    message("secret-1"),
  ]);
  const expected = Buffer.concat([
    message(`echo:${"*".repeat(12)} ${"x".repeat(200)} top-`),
    frame(OPCODE.ping, Buffer.from("*".repeat(12)), undefined),
    message("********"),
  ]);
  for (const size of [1, 2, 3, 7, 64, bytes.length]) {
    const messages = new MessageMask(mask);
    const out: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += size) out.push(messages.take(bytes.subarray(at, at + size)));
    expect(Buffer.concat(out)).toEqual(expected);
  }
  const messages = new MessageMask(mask);
  expect(messages.take(message("ends with top-sec"))).toEqual(message("ends with top-sec"));
});

test("threat-13 a secret in several frames of one message is masked, around control frames, and nothing else waits", () => {
  const ping = frame(OPCODE.ping, Buffer.from("ping"), undefined);
  const frames = (first: string, middle: string, last: string) =>
    Buffer.concat([
      part(OPCODE.text, false, first),
      ping,
      part(OPCODE.continuation, false, middle),
      part(OPCODE.continuation, true, last),
      ping,
    ]);
  const bytes = Buffer.concat([frames("a top", "-secret", "-1!"), frames("no ", "", "top-"), frames("top-secret-", "", "1")]);
  const expected = Buffer.concat([frames("a ***", "*******", "**!"), frames("no ", "", "top-"), frames("***********", "", "*")]);
  for (const size of [1, 2, 3, 7, 64, bytes.length]) {
    const messages = new MessageMask(mask);
    const out: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += size) out.push(messages.take(bytes.subarray(at, at + size)));
    expect(Buffer.concat(out)).toEqual(expected);
  }
  const messages = new MessageMask(mask);
  expect(messages.take(part(OPCODE.text, false, "nothing to hide"))).toEqual(part(OPCODE.text, false, "nothing to hide"));
});

test("what is held back does not hold a connection: our last frame, or pings without end, come behind stars", () => {
  const begun = part(OPCODE.text, false, "top-");
  const shown = part(OPCODE.text, false, "****");
  const goodbye = frame(OPCODE.close, Buffer.alloc(0), undefined);
  const stream = maskedStream({ fromClient: () => ({ forward: Buffer.alloc(0), answer: goodbye, close: true }) }, mask);
  const held = stream.fromServer?.(begun).forward ?? Buffer.alloc(0);
  const answer = stream.fromClient(Buffer.alloc(0)).answer ?? Buffer.alloc(0);
  expect(Buffer.concat([held, answer])).toEqual(Buffer.concat([shown, goodbye]));
  const messages = new MessageMask(mask);
  const pings = Buffer.concat(Array.from({ length: 20_000 }, () => frame(OPCODE.ping, Buffer.from("ping"), undefined)));
  expect(messages.take(Buffer.concat([begun, pings]))).toEqual(Buffer.concat([shown, pings]));
});
