import { expect, test } from "bun:test";
import type { SecurityEvent } from "../../../../events/event.ts";
import { RCODE } from "./message.ts";
import { AAAA, type Asked, PTR, question, readAnswer, TXT, wireName } from "./question-fixture.ts";
import { MAX_QUESTIONS_PER_SECOND, Responder, type ResponderOptions } from "./responder.ts";
import { SyntheticNames } from "./synthetic-names.ts";

function open(options: Partial<ResponderOptions> = {}) {
  const events: SecurityEvent[] = [];
  const responder = new Responder({
    names: new SyntheticNames(),
    host: { name: "Box", ipv4: "10.200.0.2", ipv6: "fd00::2" },
    ipv6: true,
    emit: (event) => events.push(event),
    ...options,
  });
  const ask = (name: string, asked?: Asked) => {
    const { rcode, records } = readAnswer(responder.reply(question(name, asked)))!;
    return rcode === 0 ? records.map((data) => (data.length === 4 ? data.join(".") : data.toString("hex"))) : `rcode ${rcode}`;
  };
  return { responder, ask, events };
}

test("every name that a host can have is answered, the same name in any case by the same address", () => {
  const { ask } = open();
  expect(ask("api.example.com")).toEqual(["198.18.0.1"]);
  expect(ask("API.Example.COM")).toEqual(["198.18.0.1"]);
  expect(ask("api.example.com", { type: AAAA })).toEqual(["20010002000000000000000000000001"]);
  expect(ask("intranet")).toEqual(["198.18.0.2"]);
  expect(ask("_x.local")).toEqual(["198.18.0.3"]);
  expect(ask("xn--mnchen-3ya.de", { type: AAAA })).toEqual(["20010002000000000000000000000004"]);
});

test("other records of the same names are none: HTTPS, SVCB, TXT, MX, SRV, ANY, and the transfer of a zone", () => {
  const { ask, responder } = open();
  for (const type of [2, 5, 6, 15, TXT, 33, 35, 64, 65, 252, 255, 257])
    expect([type, ask("api.example.com", { type })]).toEqual([type, []]);
  expect(ask("api.example.com")).toEqual(["198.18.0.1"]);
  expect(responder.reply(question("api.example.com", { flags: 0x8000 }))).toBeUndefined();
});

test("names that mean the machine, the sandbox or nothing", () => {
  const { ask } = open();
  expect([ask("localhost"), ask("a.LOCALHOST"), ask("localhost", { type: AAAA })]).toEqual([
    ["127.0.0.1"],
    ["127.0.0.1"],
    [`${"0".repeat(31)}1`],
  ]);
  expect(ask("box")).toEqual(["10.200.0.2"]);
  expect(ask("BOX", { type: AAAA })).toEqual(["fd000000000000000000000000000002"]);
  for (const name of [
    "invalid",
    "a.invalid",
    "b.onion",
    "use-application-dns.net",
    "10.0.0.1",
    "1.2.3",
    "0x7f.1",
    "a.1",
    "a b.example",
    "ü.example",
    "a..b",
    "*.example",
    "a/b.example",
    "xn--a.example",
  ])
    expect([name, ask(name)]).toEqual([name, `rcode ${name === "a..b" ? RCODE.formatError : RCODE.nameError}`]);
  expect(ask("")).toEqual([]);
  // A dot inside a label is no separator.
  expect(
    readAnswer(
      open().responder.reply(
        Buffer.concat([question("").subarray(0, 12), Buffer.from([3]), Buffer.from("a.b"), wireName("example"), Buffer.from([0, 1, 0, 1])]),
      ),
    )?.rcode,
  ).toBe(RCODE.nameError);
});

test("addresses lead back to names, and no other address does", () => {
  const { ask } = open();
  ask("api.example.com");
  const name = wireName("api.example.com").toString("hex");
  expect(ask("1.0.18.198.in-addr.arpa", { type: PTR })).toEqual([name]);
  expect(ask(`${"1000000000000000000000002000100".split("").join(".")}.2.ip6.arpa`, { type: PTR })).toEqual([name]);
  expect(ask("1.0.0.127.in-addr.arpa", { type: PTR })).toEqual([wireName("localhost").toString("hex")]);
  expect(ask("2.0.200.10.in-addr.arpa", { type: PTR })).toEqual([wireName("box").toString("hex")]);
  expect(ask("1.0.18.198.in-addr.arpa", { type: TXT })).toEqual([]);
  for (const other of [
    "2.0.18.198.in-addr.arpa",
    "8.8.8.8.in-addr.arpa",
    "300.0.18.198.in-addr.arpa",
    "in-addr.arpa",
    "arpa",
    "ipv4only.arpa",
  ])
    expect([other, ask(other, { type: PTR })]).toEqual([other, "rcode 3"]);
  expect(ask("8.8.8.8.in-addr.arpa")).toBe("rcode 3");
});

test("other classes are refused, unknown EDNS versions named, and without IPv6 no name has such an address", () => {
  const { ask, responder } = open({ ipv6: false });
  expect(ask("version.bind", { type: TXT, class: 3 })).toBe(`rcode ${RCODE.refused}`);
  expect(responder.reply(question("a.example", { edns: 1 }))?.at(-6)).toBe(1);
  expect(ask("a.example", { type: AAAA })).toEqual([]);
  expect(ask("a.example", { class: 255 })).toEqual(["198.18.0.1"]);
});

test("threat-28 when there are no more addresses new names fail, known ones go on, and one event says so", () => {
  const { ask, events } = open({ names: new SyntheticNames(["kept.example"], 2) });
  expect(ask("a.example")).toEqual(["198.18.0.2"]);
  for (const name of ["b.example", "c.example", "b.example"]) expect(ask(name)).toBe(`rcode ${RCODE.serverFailure}`);
  expect([ask("a.example"), ask("kept.example")]).toEqual([["198.18.0.2"], ["198.18.0.1"]]);
  expect(events).toMatchObject([{ kind: "finding", id: "dns-names-exhausted" }]);
});

test("threat-26 at most 500 questions a second are looked at", () => {
  let now = 0;
  const { responder } = open({ now: () => now });
  const admitted = (times: number) => Array.from({ length: times }, () => responder.admits()).filter(Boolean).length;
  expect(admitted(10_000)).toBe(MAX_QUESTIONS_PER_SECOND);
  now = 100;
  expect(admitted(1000)).toBe(50);
  let count = 0;
  for (let step = 0; step < 10_000; step++) {
    now += 0.1;
    count += admitted(3);
  }
  expect(count).toBeGreaterThan(MAX_QUESTIONS_PER_SECOND - 5);
  expect(count).toBeLessThanOrEqual(MAX_QUESTIONS_PER_SECOND);
  now += 60_000;
  expect(admitted(10_000)).toBe(MAX_QUESTIONS_PER_SECOND);
});
