import { expect, test } from "bun:test";
import { frame, frameHead, OPCODE } from "../proxy/websocket/frame.ts";
import { Mask } from "./mask.ts";
import { MessageMask } from "./message-mask.ts";

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

test("a secret in two frames is masked from the second on, also around a control frame", () => {
  const messages = new MessageMask(mask);
  const ping = frame(OPCODE.ping, Buffer.alloc(0), undefined);
  const out = messages.take(Buffer.concat([part(OPCODE.text, false, "top-"), ping, part(OPCODE.continuation, true, "secret-1!")]));
  expect(out.toString("latin1")).toEndWith("********!");
});
