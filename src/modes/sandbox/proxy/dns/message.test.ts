import { describe, expect, test } from "bun:test";
import { type Query, RCODE, readMessage, writeAnswer } from "./message.ts";
import { AAAA, question, readAnswer, wireName, words } from "./question-fixture.ts";

const read = (message: Buffer): Query => {
  const reading = readMessage(message);
  if (reading.kind !== "query") throw new Error(reading.kind);
  return reading.query;
};
const codeOf = (message: Buffer) => {
  const reading = readMessage(message);
  return reading.kind === "reply" ? reading.reply.readUInt16BE(2) & 0xf : reading.kind;
};
/** One header and whatever follows. */
const message = (counts: readonly number[], ...rest: Buffer[]) => Buffer.concat([words(1, 0x0100, ...counts), ...rest]);
const end = words(1, 1);

test("a question is read as it was sent, and the answer repeats it byte by byte", () => {
  const sent = question("wWw.eXample.COM", { type: AAAA, flags: 0x0110 });
  const query = read(sent);
  expect(query.labels.map(String)).toEqual(["wWw", "eXample", "COM"]);
  expect(query).toMatchObject({ id: 0x1234, flags: 0x0110, type: AAAA, class: 1 });
  expect(query.ednsVersion).toBeUndefined();
  const answer = writeAnswer(query, { rcode: RCODE.noError, records: [Buffer.alloc(16, 7)] }, 5);
  expect(answer.subarray(0, 12)).toEqual(words(0x1234, 0x8190, 1, 1, 0, 0));
  expect(answer.subarray(12, sent.length)).toEqual(sent.subarray(12));
  expect(answer.subarray(sent.length)).toEqual(Buffer.concat([words(0xc00c, AAAA, 1, 0, 5, 16), Buffer.alloc(16, 7)]));
});

test("EDNS is answered with EDNS, a version that nobody knows by its code", () => {
  const query = read(question("a", { edns: 0 }));
  expect(query.ednsVersion).toBe(0);
  const opt = writeAnswer(query, { rcode: RCODE.noError, records: [] }, 5).subarray(-11);
  expect(opt).toEqual(Buffer.from([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]));
  const bad = writeAnswer(read(question("a", { edns: 7 })), { rcode: RCODE.badVersion, records: [] }, 5);
  expect([bad.readUInt16BE(2) & 0xf, bad.at(-6)]).toEqual([0, 1]);
});

test("the root, the longest label and the longest name are questions", () => {
  expect(read(question("")).labels).toEqual([]);
  const label = "a".repeat(63);
  const longest = `${label}.${label}.${label}.${"a".repeat(61)}`;
  expect(read(question(longest)).labels).toHaveLength(4);
  expect(writeAnswer(read(question(longest, { edns: 0 })), { rcode: 0, records: [Buffer.alloc(16)] }, 5).length).toBeLessThan(512);
});

describe("what cannot be read is complained of or ignored, and never an error of ours", () => {
  const label = Buffer.concat([Buffer.from([63]), Buffer.alloc(63, 0x61)]);
  const record = (name: Buffer, type: number, data: Buffer) => Buffer.concat([name, words(type, 1, 0, 0, data.length), data]);
  const opt = record(Buffer.from([0]), 41, Buffer.alloc(0));
  const name = wireName("a.example");
  const cases: [string, Buffer, ReturnType<typeof codeOf>][] = [
    ["nothing", Buffer.alloc(0), "ignore"],
    ["a header cut short", question("a").subarray(0, 11), "ignore"],
    ["an answer", question("a", { flags: 0x8100 }), "ignore"],
    ["more than 4 KiB", Buffer.concat([question("a"), Buffer.alloc(4096)]), "ignore"],
    ["an update", question("a", { flags: 0x2800 }), RCODE.notImplemented],
    ["a status question", question("a", { flags: 0x1000 }), RCODE.notImplemented],
    ["no question", message([0, 0, 0, 0]), RCODE.formatError],
    ["two questions", message([2, 0, 0, 0], name, end, name, end), RCODE.formatError],
    ["65,535 questions", message([65535, 0, 0, 0], name, end), RCODE.formatError],
    ["an answer in the question", message([1, 1, 0, 0], name, end, opt), RCODE.formatError],
    ["an authority in the question", message([1, 0, 1, 0], name, end, opt), RCODE.formatError],
    ["five extra records", message([1, 0, 0, 5], name, end, opt), RCODE.formatError],
    ["an extra record that is not there", message([1, 0, 0, 1], name, end), RCODE.formatError],
    ["an extra record cut short", message([1, 0, 0, 1], name, end, opt.subarray(0, 10)), RCODE.formatError],
    [
      "an extra record longer than the message",
      message([1, 0, 0, 1], name, end, Buffer.from([0, 0, 41, 0, 1, 0, 0, 0, 0, 255, 255])),
      RCODE.formatError,
    ],
    ["two OPT records", message([1, 0, 0, 2], name, end, opt, opt), RCODE.formatError],
    ["an OPT record with a name", message([1, 0, 0, 1], name, end, record(name, 41, Buffer.alloc(0))), RCODE.formatError],
    ["bytes behind the end", message([1, 0, 0, 0], name, end, Buffer.from([0])), RCODE.formatError],
    ["no type", message([1, 0, 0, 0], name, words(1)), RCODE.formatError],
    ["a name without an end", message([1, 0, 0, 0], label), RCODE.formatError],
    ["a label cut short", message([1, 0, 0, 0], Buffer.from([5, 0x61])), RCODE.formatError],
    [
      "a name of 256 bytes",
      message([1, 0, 0, 0], label, label, label, Buffer.concat([Buffer.from([62]), Buffer.alloc(62, 0x61), Buffer.from([0])]), end),
      RCODE.formatError,
    ],
    ["a pointer to itself", message([1, 0, 0, 0], Buffer.from([0xc0, 12]), end), RCODE.formatError],
    ["a pointer to the header", message([1, 0, 0, 0], Buffer.from([1, 0x61, 0xc0, 0]), end), RCODE.formatError],
    ["a label of the reserved kinds", message([1, 0, 0, 0], Buffer.from([0x41, 0x61, 0]), end), RCODE.formatError],
    ["and 0x80", message([1, 0, 0, 0], Buffer.from([0x81, 0x61, 0]), end), RCODE.formatError],
  ];
  for (const [what, bytes, expected] of cases) test(what, () => expect(codeOf(bytes)).toBe(expected));

  test("a record behind the question may point anywhere: nobody follows", () => {
    const pointing = record(Buffer.from([0xc0, 0xff]), 250, Buffer.alloc(3));
    expect(readMessage(message([1, 0, 0, 2], name, end, pointing, opt)).kind).toBe("query");
  });

  test("a complaint repeats the id and nothing of the question", () => {
    const reading = readMessage(message([0, 0, 0, 0]));
    expect(reading).toEqual({ kind: "reply", reply: words(1, 0x8181, 0, 0, 0, 0) });
  });
});

test("fuzz: whatever is sent is read without an error, and what is answered is an answer to it", () => {
  const seeds = [
    question("a.example"),
    question("wWw.Example.com", { edns: 0, type: AAAA }),
    question("4.3.2.1.in-addr.arpa", { type: 12 }),
    question(""),
  ];
  let state = 1;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const rounds = process.env["LONG_TESTS"] ? 1_000_000 : 100_000;
  const kinds = { query: 0, reply: 0, ignore: 0 };
  for (let round = 0; round < rounds; round++) {
    const seed = seeds[random(seeds.length)] ?? Buffer.alloc(0);
    let bytes = Buffer.from(seed);
    for (let change = random(4); change >= 0; change--) {
      const at = random(bytes.length + 1);
      const kind = random(4);
      if (kind === 0 && at < bytes.length) bytes[at] = random(256);
      else if (kind === 1) bytes = bytes.subarray(0, at);
      else if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from([random(256)]), bytes.subarray(at)]);
      else bytes = Buffer.concat([bytes.subarray(0, at), seeds[random(seeds.length)] ?? bytes]);
    }
    const reading = readMessage(bytes);
    kinds[reading.kind]++;
    if (reading.kind !== "query") continue;
    const reply = writeAnswer(reading.query, { rcode: RCODE.noError, records: [Buffer.from([1, 2, 3, 4])] }, 5);
    expect(reply.readUInt16BE(0)).toBe(bytes.readUInt16BE(0));
    expect(readAnswer(reply)?.records).toEqual([Buffer.from([1, 2, 3, 4])]);
    expect(reading.query.labels.reduce((sum, label) => sum + label.length + 1, 1)).toBeLessThanOrEqual(255);
  }
  for (const count of Object.values(kinds)) expect(count).toBeGreaterThan(rounds / 100);
}, 120_000);
