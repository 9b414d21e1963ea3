import { describe, expect, test } from "bun:test";
import { PolicyEngine } from "../../../../engine/policy-engine.ts";
import { Dice } from "../../../../policy/dice.test-support.ts";
import { parsePolicyYaml } from "../../../../policy/yaml.ts";
import { ByteBudget } from "../byte-budget.ts";
import type { StreamStep } from "../inspect/ruling.ts";
import { MAX_QUERY_BYTES } from "./client-messages.ts";
import { readOpening, sslRequest } from "./opening.ts";
import { SqlWatcher } from "./watcher.ts";

const text = (value: string) => Buffer.from(`${value}\0`);

function message(type: string, ...parts: Buffer[]): Buffer {
  const payload = Buffer.concat(parts);
  const head = Buffer.alloc(5);
  head.write(type, 0, "latin1");
  head.writeUInt32BE(payload.length + 4, 1);
  return type === "" ? Buffer.concat([head.subarray(1), payload]) : Buffer.concat([head, payload]);
}
const startup = (parameters: string, code = 196_608) => {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(code);
  return message("", head, Buffer.from(`${parameters}\0`));
};

const engines = new Map<string, PolicyEngine>();
function engineFor(access: string): PolicyEngine {
  const known = engines.get(access);
  if (known !== undefined) return known;
  const engine = new PolicyEngine();
  const policy = `version: 1\nnetwork_policies:\n  db:\n    endpoints: [{ host: db.example.com, port: 5432, protocol: sql, access: ${access} }]\n    binaries: [{ path: /usr/bin/psql }]\n`;
  engine.load(parsePolicyYaml(policy, { source: "test" }));
  engines.set(access, engine);
  return engine;
}

function watch(access = "read-only", budget = new ByteBudget(MAX_QUERY_BYTES)) {
  const engine = engineFor(access);
  const told: string[] = [];
  let host = "db.example.com";
  const watcher = new SqlWatcher(
    {
      ask: (command) => engine.decideRequest({ host, port: 5432, exe: "/usr/bin/psql", ancestors: [], request: { kind: "sql", command } }),
      emit: ({ action, command, stage, code }) => told.push([action, command, stage, code].filter((word) => word !== undefined).join(" ")),
    },
    budget,
    () => false,
  );
  const closeHost = () => {
    host = "other.example.com";
  };
  return { watcher, told, budget, closeHost };
}

describe("before a session", () => {
  for (const [why, bytes, expected] of [
    ["nothing", Buffer.alloc(0), { kind: "incomplete" }],
    ["half a question", sslRequest().subarray(0, 7), { kind: "incomplete" }],
    ["the question for TLS", sslRequest(), { kind: "tls", size: 8 }],
    ["the question for GSSAPI", Buffer.from([0, 0, 0, 8, 4, 210, 22, 48]), { kind: "gss", size: 8 }],
    ["a startup message", startup("user\0me\0database\0shop\0"), { kind: "session", database: "shop" }],
    ["one without database", startup("user\0me\0"), { kind: "session", database: "me" }],
    ["part of one", startup("user\0me\0").subarray(0, 12), { kind: "incomplete" }],
    ["a request to cancel", Buffer.from([0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2]), { kind: "session", database: "" }],
    ["protocol 2", startup("user\0me\0", 131_072), { kind: "other" }],
    ["a length beyond what servers take", Buffer.from([0, 1, 0, 0, 0, 3, 0, 0]), { kind: "other" }],
    ["HTTP", Buffer.from("G"), { kind: "other" }],
  ] as const) {
    test(why, () => expect(readOpening(bytes)).toEqual(expected));
  }
});

describe("statements", () => {
  const session = [
    startup("user\0me\0"),
    message("p", text("secret; DROP")),
    message("Q", text("select 1; drop table t")),
    message("P", text("name"), text("insert into t values ($1)"), Buffer.from([0, 0])),
    message("B", text(""), text("name")),
    message("E", text(""), Buffer.alloc(4)),
    message("d", Buffer.from("Q\0\0\0\x0fdrop table t")),
    message("F", Buffer.alloc(12)),
    message("S"),
    message("X"),
  ];
  const expected = [
    "allowed SELECT",
    "allowed DROP l7_audit request_not_allowed",
    "allowed INSERT l7_audit request_not_allowed",
    "allowed FUNCTION l7_audit request_not_allowed",
  ];

  test("of simple and prepared queries are told of; every byte passes", () => {
    const { watcher, told } = watch();
    const passed = session.map((bytes) => watcher.fromClient(bytes).forward);
    expect(Buffer.concat(passed)).toEqual(Buffer.concat(session));
    expect(told).toEqual(expected);
  });

  test("however the bytes are cut", () => {
    const dice = new Dice(0x5a1);
    const all = Buffer.concat(session);
    for (let n = 0; n < 300; n++) {
      const { watcher, told, budget } = watch();
      for (let at = 0; at < all.length; ) {
        const size = 1 + dice.below(20);
        watcher.fromClient(all.subarray(at, at + size));
        at += size;
      }
      expect(told).toEqual(expected);
      expect(budget.used).toBe(0);
    }
  });

  test("too long to be read are told of as such", () => {
    const { watcher, told } = watch("full");
    watcher.fromClient(startup(""));
    const long = message("Q", text(`select '${"x".repeat(MAX_QUERY_BYTES)}'`));
    for (let at = 0; at < long.length; at += 100_000) expect(watcher.fromClient(long.subarray(at, at + 100_000)).close).toBeUndefined();
    watcher.fromClient(message("Q", text("select 1")));
    expect(told).toEqual(["allowed UNREAD l7_audit statement_unread", "allowed SELECT"]);
  });

  test("beyond the memory of all connections are told of as such", () => {
    const { watcher, told, budget } = watch("full", new ByteBudget(5000));
    watcher.fromClient(startup(""));
    watcher.fromClient(message("Q", text(`select '${"x".repeat(6000)}'`)));
    watcher.fromClient(message("Q", text("select 1")));
    expect(told).toEqual(["allowed UNREAD l7_audit statement_unread", "allowed SELECT"]);
    expect(budget.used).toBe(0);
  });

  test("of a policy that allows the server no longer end the connection before their last byte", () => {
    const { watcher, told, closeHost } = watch("full");
    watcher.fromClient(startup(""));
    closeHost();
    expect(watcher.fromClient(message("Q", text("select 1; select 2")))).toEqual({ forward: Buffer.alloc(0), close: true });
    expect(told).toEqual(["denied SELECT l7_deny host_not_allowed"]);
    expect(watcher.fromClient(message("Q", text("select 1"))).forward.length).toBe(0);
  });

  test("what is no PostgreSQL ends the connection", () => {
    const { watcher, told } = watch();
    watcher.fromClient(startup(""));
    expect(watcher.fromClient(Buffer.from([0x51, 0, 0, 0, 3])).close).toBe(true);
    expect(told).toEqual(["denied UNREAD sql_protocol"]);
  });

  test("memory is given back when the client goes", () => {
    const { watcher, budget } = watch();
    watcher.fromClient(startup(""));
    watcher.fromClient(message("Q", text("select 1")).subarray(0, 9));
    expect(budget.used).toBeGreaterThan(0);
    watcher.ended();
    expect(budget.used).toBe(0);
  });
});

test("threat-16 of many statements at once some are told of before others have their turn, and all bytes pass", () => {
  const { watcher, told } = watch();
  watcher.fromClient(startup("user\0me\0database\0shop\0"));
  const all = Buffer.concat(Array.from({ length: 100 }, () => message("Q", text("SELECT 1; SELECT 2"))));
  const forwarded: Buffer[] = [];
  const counts: number[] = [];
  for (let left: Buffer | undefined = all; left !== undefined; ) {
    const { forward, rest }: StreamStep = watcher.fromClient(left);
    forwarded.push(forward);
    counts.push(told.length);
    left = rest;
  }
  expect(counts).toEqual([32, 64, 96, 128, 160, 192, 200]);
  expect(Buffer.concat(forwarded).equals(all)).toBe(true);
});
