import { describe, expect, test } from "bun:test";
import { Dice } from "../../../../policy/dice.test-support.ts";
import { ByteBudget } from "../byte-budget.ts";
import type { StreamStep } from "../inspect/ruling.ts";
import { MAX_BINARY_FRAME_BYTES, MAX_FRAGMENTS, MAX_TEXT_BYTES } from "./client-messages.ts";
import { applyMask, closeFrame, frameHead, OPCODE, readFrameHead } from "./frame.ts";
import { type MessageVerdict, WebSocketInspector } from "./inspector.ts";
import type { TextMessage } from "./text-message.ts";

const MASK = Buffer.from([1, 2, 3, 4]);

/** A frame as a client sends it. */
function sent(opcode: number, payload: string | Buffer, { fin = true, mask = MASK as Buffer | null } = {}): Buffer {
  const bytes = Buffer.from(payload as string);
  const head = frameHead({ fin, opcode, length: bytes.length }, mask ?? undefined);
  if (mask !== null) applyMask(bytes, mask, 0);
  return Buffer.concat([head, bytes]);
}

/** Frames in a stream, unmasked; what is incomplete is left out. */
function frames(bytes: Buffer): { opcode: number; fin: boolean; masked: boolean; payload: string }[] {
  const found = [];
  for (let left = bytes; left.length > 0; ) {
    const head = readFrameHead(left);
    if (head === undefined || left.length < head.size + head.length) break;
    const payload = Buffer.from(left.subarray(head.size, head.size + head.length));
    if (head.mask !== undefined) applyMask(payload, head.mask, 0);
    found.push({ opcode: head.opcode, fin: head.fin, masked: head.mask !== undefined, payload: payload.toString("latin1") });
    left = left.subarray(head.size + head.length);
  }
  return found;
}

/** Texts with "no" are refused; `secret` becomes another text. */
function play(budget = new ByteBudget(MAX_TEXT_BYTES)) {
  const judged: (string | undefined)[] = [];
  const violations: string[] = [];
  const judge = (message: TextMessage | undefined): MessageVerdict => {
    const text = message?.text;
    judged.push(text);
    if (text?.includes("no")) return { allowed: false, reason: "not permitted" };
    return text === "secret" ? { allowed: true, text: "sesame" } : { allowed: true };
  };
  const inspector = new WebSocketInspector(
    { judge, violated: (reason) => violations.push(reason), stillAllowed: () => true },
    budget,
    () => false,
  );
  return { inspector, judged, violations, budget };
}

const outcome = (step: StreamStep) => ({
  server: frames(step.forward).map(({ opcode, payload }) => `${opcode} ${payload}`),
  client: step.answer === undefined ? [] : frames(step.answer),
  close: step.close === true,
});
/** Payload of a Close frame. */
const close = (code: number, reason: string) => {
  const head = Buffer.alloc(2);
  head.writeUInt16BE(code);
  return `${head.toString("latin1")}${reason}`;
};

test("threat-16 of many messages at once 32 are looked at before others have their turn", () => {
  const { inspector, judged } = play();
  const one = Buffer.concat([sent(OPCODE.text, "a"), sent(OPCODE.text, "b"), sent(OPCODE.ping, "")]);
  const all = Buffer.concat(Array.from({ length: 30 }, () => one));
  const seen: number[] = [];
  let forwarded = 0;
  for (let left: Buffer | undefined = all; left !== undefined; ) {
    const { forward, rest }: StreamStep = inspector.fromClient(left);
    forwarded += frames(forward).length;
    seen.push(forwarded);
    left = rest;
  }
  expect(seen.map((count, index) => count - (seen[index - 1] ?? 0))).toEqual([32, 32, 26]);
  expect(judged).toHaveLength(60);
});

describe("messages", () => {
  test("a text goes on in a frame of ours, masked anew", () => {
    const { inspector, judged } = play();
    const step = inspector.fromClient(sent(OPCODE.text, "hello"));
    expect(frames(step.forward)).toEqual([{ opcode: OPCODE.text, fin: true, masked: true, payload: "hello" }]);
    expect(step.forward.subarray(2, 6)).not.toEqual(MASK);
    expect(judged).toEqual(["hello"]);
  });

  test("byte by byte and in fragments, nothing goes on before the message is whole and allowed", () => {
    const { inspector, judged } = play();
    const bytes = Buffer.concat([
      sent(OPCODE.text, "he", { fin: false }),
      sent(OPCODE.ping, "p"),
      sent(OPCODE.continuation, "", { fin: false }),
      sent(OPCODE.continuation, "llo"),
    ]);
    const steps = [...bytes].map((byte) => outcome(inspector.fromClient(Buffer.of(byte))).server);
    expect(steps.flat()).toEqual(["9 p", "1 hello"]);
    expect(steps.at(-1)).toEqual(["1 hello"]);
    expect(judged).toEqual(["hello"]);
  });

  test("a character may be cut by a fragment", () => {
    const { inspector, judged } = play();
    const bytes = Buffer.from("é");
    inspector.fromClient(sent(OPCODE.text, bytes.subarray(0, 1), { fin: false }));
    expect(outcome(inspector.fromClient(sent(OPCODE.continuation, bytes.subarray(1)))).close).toBe(false);
    expect(judged).toEqual(["é"]);
  });

  test("what is allowed may go on as another text", () => {
    expect(outcome(play().inspector.fromClient(sent(OPCODE.text, "secret"))).server).toEqual(["1 sesame"]);
  });

  test("case-74 what is refused closes both sides with 1008, and nothing behind it is heard", () => {
    const { inspector, judged } = play();
    const step = inspector.fromClient(Buffer.concat([sent(OPCODE.text, "yes"), sent(OPCODE.text, "no"), sent(OPCODE.text, "later")]));
    expect(outcome(step)).toEqual({
      server: ["1 yes", `8 ${close(1008, "not permitted")}`],
      client: [{ opcode: OPCODE.close, fin: true, masked: false, payload: close(1008, "not permitted") }],
      close: true,
    });
    expect(inspector.fromClient(sent(OPCODE.text, "later")).forward.length).toBe(0);
    expect(judged).toEqual(["yes", "no"]);
  });

  test("a binary message is decided once and passes as it comes", () => {
    const { inspector, judged } = play();
    const first = sent(OPCODE.binary, "abcdef", { fin: false });
    const parts = [first.subarray(0, 9), first.subarray(9), sent(OPCODE.ping, ""), sent(OPCODE.continuation, "g")];
    const steps = parts.map((part) => inspector.fromClient(part).forward);
    expect(steps[0]?.length).toBe(9);
    expect(frames(Buffer.concat(steps)).map(({ opcode, fin, payload }) => [opcode, fin, payload])).toEqual([
      [OPCODE.binary, false, "abcdef"],
      [OPCODE.ping, true, ""],
      [OPCODE.continuation, true, "g"],
    ]);
    expect(judged).toEqual([undefined]);
  });

  test("the client's Close goes on, and nothing behind it", () => {
    const { inspector } = play();
    const step = inspector.fromClient(
      Buffer.concat([sent(OPCODE.close, Buffer.from(close(1000, "bye"), "latin1")), sent(OPCODE.text, "x")]),
    );
    expect(outcome(step)).toEqual({ server: [`8 ${close(1000, "bye")}`], client: [], close: false });
    expect(outcome(inspector.fromClient(sent(OPCODE.text, "x"))).server).toEqual([]);
  });
});

describe("our Close never stands inside a frame of the server", () => {
  const server = sent(OPCODE.text, "a long answer", { mask: null });
  test("it waits for the end of the frame that is under way", () => {
    const { inspector } = play();
    inspector.fromServer(server.subarray(0, 5));
    expect(outcome(inspector.fromClient(sent(OPCODE.text, "no")))).toMatchObject({ client: [], close: false });
    expect(outcome(inspector.fromServer(server.subarray(5, 8)))).toMatchObject({ close: false });
    const last = inspector.fromServer(Buffer.concat([server.subarray(8), server]));
    expect(last.close).toBe(true);
    expect(Buffer.concat([server.subarray(0, 8), last.forward])).toEqual(
      Buffer.concat([server, closeFrame(1008, "not permitted", undefined)]),
    );
  });
  test("it does not wait for a frame that is far from its end", () => {
    const { inspector } = play();
    inspector.fromServer(frameHead({ fin: true, opcode: OPCODE.binary, length: 1_000_000 }, undefined));
    expect(outcome(inspector.fromClient(sent(OPCODE.text, "no")))).toMatchObject({ client: [], close: true });
  });
});

test("the reason of a Close frame is cut at a character, however long it is", () => {
  for (const reason of ["x".repeat(1_000_000), "é".repeat(1_000_000), "😀".repeat(1_000_000), `x${"😀".repeat(1_000_000)}`, "short"]) {
    const [only] = frames(closeFrame(1008, reason, undefined));
    const payload = Buffer.from(only?.payload ?? "", "latin1").subarray(2);
    expect(payload.length).toBeLessThanOrEqual(123);
    expect(new TextDecoder("utf-8", { fatal: true }).decode(payload).slice(0, 20)).toBe(reason.slice(0, 20).slice(0, payload.length));
  }
});

describe("what a client may not send closes the connection", () => {
  const head = (...bytes: number[]) => Buffer.from(bytes);
  for (const [why, bytes, code] of [
    ["a frame without mask", sent(OPCODE.text, "x", { mask: null }), 1002],
    ["a compressed frame", head(0xc1, 0x80, 0, 0, 0, 0), 1002],
    ["the second reserved bit", head(0xa1, 0x80, 0, 0, 0, 0), 1002],
    ["the third reserved bit", head(0x91, 0x80, 0, 0, 0, 0), 1002],
    ["an unknown data frame", head(0x83, 0x80, 0, 0, 0, 0), 1002],
    ["an unknown control frame", head(0x8b, 0x80, 0, 0, 0, 0), 1002],
    ["a ping in fragments", head(0x09, 0x80, 0, 0, 0, 0), 1002],
    ["a ping of 126 bytes", head(0x89, 0xfe, 0, 126, 0, 0, 0, 0), 1002],
    ["a length of 5 in two bytes", head(0x81, 0xfe, 0, 5, 0, 0, 0, 0), 1002],
    ["a length of 5 in eight bytes", head(0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0), 1002],
    ["a continuation of nothing", sent(OPCODE.continuation, "x"), 1002],
    ["a text inside a text", Buffer.concat([sent(OPCODE.text, "x", { fin: false }), sent(OPCODE.text, "x")]), 1002],
    ["a binary inside a text", Buffer.concat([sent(OPCODE.text, "x", { fin: false }), sent(OPCODE.binary, "x")]), 1002],
    ["a Close of one byte", sent(OPCODE.close, "x"), 1002],
    ["a Close with a code that is never sent", sent(OPCODE.close, Buffer.from([3, 238])), 1002],
    ["a Close with code 999", sent(OPCODE.close, Buffer.from([3, 231])), 1002],
    ["a Close whose reason is not UTF-8", sent(OPCODE.close, Buffer.from([3, 232, 0xff])), 1007],
    ["a text that is not UTF-8", sent(OPCODE.text, Buffer.from([0xc3, 0x28])), 1007],
    ["half a surrogate pair", sent(OPCODE.text, Buffer.from([0xed, 0xa0, 0x80])), 1007],
    ["a text that is too long", frameHead({ fin: true, opcode: OPCODE.text, length: MAX_TEXT_BYTES + 1 }, MASK), 1009],
    ["a text of 2⁶³ bytes", head(0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 1009],
    ["a binary frame that is too long", frameHead({ fin: true, opcode: OPCODE.binary, length: MAX_BINARY_FRAME_BYTES + 1 }, MASK), 1009],
  ] as const) {
    test(why, () => {
      const { inspector, violations } = play();
      const step = outcome(inspector.fromClient(bytes));
      expect(step.close).toBe(true);
      expect(step.client.map(({ payload }) => Buffer.from(payload, "latin1").readUInt16BE(0))).toEqual([code]);
      expect(violations.length).toBe(1);
    });
  }

  test("a text that becomes too long with its last fragment", () => {
    const { inspector, violations } = play();
    inspector.fromClient(sent(OPCODE.text, Buffer.alloc(MAX_TEXT_BYTES), { fin: false }));
    expect(outcome(inspector.fromClient(sent(OPCODE.continuation, "x")))).toMatchObject({ close: true });
    expect(violations).toEqual([`a text message of ${MAX_TEXT_BYTES + 1} bytes, at most ${MAX_TEXT_BYTES} are accepted`]);
  });

  test("more fragments than are accepted", () => {
    const { inspector, violations } = play();
    inspector.fromClient(sent(OPCODE.text, "", { fin: false }));
    const more = Buffer.concat(Array.from({ length: MAX_FRAGMENTS - 1 }, () => sent(OPCODE.continuation, "", { fin: false })));
    expect(inspector.fromClient(more).close).toBeUndefined();
    expect(inspector.fromClient(sent(OPCODE.continuation, "")).close).toBe(true);
    expect(violations.length).toBe(1);
  });
});

describe("memory of messages under way", () => {
  test("is taken as bytes arrive and given back with each message, violation and end", () => {
    const { inspector, budget } = play();
    inspector.fromClient(frameHead({ fin: true, opcode: OPCODE.text, length: MAX_TEXT_BYTES }, MASK));
    expect(budget.used).toBe(0);
    inspector.fromClient(Buffer.alloc(100_000));
    expect(budget.used).toBeGreaterThanOrEqual(100_000);
    inspector.ended();
    expect(budget.used).toBe(0);

    const other = play();
    other.inspector.fromClient(Buffer.concat([sent(OPCODE.text, "x", { fin: false }), sent(OPCODE.text, "x")]));
    expect(other.budget.used).toBe(0);
    const whole = play();
    whole.inspector.fromClient(sent(OPCODE.text, "x"));
    expect(whole.budget.used).toBe(0);
  });

  test("that is used up ends the connection that wants more, not the others", () => {
    const { inspector, budget, violations } = play(new ByteBudget(10_000));
    const other = new WebSocketInspector(
      { judge: () => ({ allowed: true }), violated() {}, stillAllowed: () => true },
      budget,
      () => false,
    );
    inspector.fromClient(sent(OPCODE.text, Buffer.alloc(6000, "a"), { fin: false }));
    expect(outcome(other.fromClient(sent(OPCODE.text, Buffer.alloc(6000, "a"), { fin: false }))).client[0]?.payload).toStartWith(
      close(1013, ""),
    );
    expect(violations).toEqual([]);
    expect(outcome(inspector.fromClient(sent(OPCODE.continuation, "b"))).server.length).toBe(1);
  });
});

test("however bytes are cut and changed, what goes on is whole frames of allowed messages", () => {
  const dice = new Dice(0x3e75);
  for (let n = 0; n < 3000; n++) {
    const { inspector, judged } = play();
    const stream = Buffer.concat(
      Array.from({ length: 1 + dice.below(6) }, () =>
        sent(dice.pick([0, 1, 1, 2, 8, 9, 10]), Buffer.alloc(dice.below(200), dice.pick(["a", "no", "\xff"]), "latin1"), {
          fin: dice.below(3) > 0,
        }),
      ),
    );
    if (dice.below(2) === 0) stream[dice.below(stream.length)] = dice.below(256);
    const forwarded: Buffer[] = [];
    let closed = false;
    for (let at = 0; at < stream.length; ) {
      const size = 1 + dice.below(40);
      const step = inspector.fromClient(stream.subarray(at, at + size));
      if (closed) expect(step.forward.length).toBe(0);
      closed ||= step.close === true;
      forwarded.push(step.forward);
      at += size;
    }
    const texts = frames(Buffer.concat(forwarded)).filter(({ opcode }) => opcode === OPCODE.text);
    expect(texts.every(({ masked, fin }) => masked && fin)).toBe(true);
    expect(texts.map(({ payload }) => payload)).toEqual(
      judged.filter((text) => text !== undefined && !text.includes("no")).map((text) => Buffer.from(text ?? "").toString("latin1")),
    );
  }
});
