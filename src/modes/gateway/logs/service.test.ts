import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { GetSandboxLogsResponseSchema, type SandboxLogLine, SandboxLogLineSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { MAX_RESPONSE_BYTES } from "../../../rpc/limits.ts";
import { Bus } from "../bus.ts";
import { DENIALS_KEPT, DENIALS_KEPT_MS, LOG_LINES_KEPT, openLogStore } from "../store/logs.ts";
import { type LogFilter, logService } from "./service.ts";

const ALL: LogFilter = { sources: [], minLevel: "", since: undefined };
const DAY = 24 * 60 * 60 * 1000;

class Logs implements Disposable {
  now = 1_800_000_000_000;
  readonly store = openLogStore(":memory:", { now: () => this.now });
  readonly service = logService(this.store, new Bus(), { now: () => this.now });

  line(message: string, more: Partial<SandboxLogLine> = {}): SandboxLogLine {
    const eventTime = timestampFromMs(this.now);
    return create(SandboxLogLineSchema, { message, level: "OCSF", target: "ocsf", eventTime, ...more } as object);
  }

  denial(message: string): SandboxLogLine {
    return this.line(message, { fields: { action: "denied" } });
  }

  /** Time passes, so that the quota of bytes is no matter here. */
  push(...lines: SandboxLogLine[]): void {
    for (let at = 0; at < lines.length; at += 100) {
      this.now += 60_000;
      this.service.push("s", lines.slice(at, at + 100));
    }
  }

  messages(filter: Partial<LogFilter> = {}, limit = LOG_LINES_KEPT): string[] {
    return this.service.tail("s", limit, { ...ALL, ...filter }).lines.map(({ message }) => message);
  }

  [Symbol.dispose](): void {
    this.store[Symbol.dispose]();
  }
}

describe("what is kept", () => {
  test("denials stay when other lines push them out, for 30 days", () => {
    using logs = new Logs();
    logs.push(logs.denial("denied at the start"));
    logs.push(...Array.from({ length: 4000 }, (_, i) => logs.line(`allowed ${i}`)));
    const denied = logs.messages({ since: 0 }, 10_000).filter((message) => message.startsWith("denied"));
    expect(denied).toEqual(["denied at the start"]);
    expect(logs.messages({ since: 0 }, 10_000).length).toBeLessThanOrEqual(LOG_LINES_KEPT + 501);
    logs.now += DENIALS_KEPT_MS - 2 * DAY;
    expect(logs.messages({}, 10_000)).toContain("denied at the start");
    logs.now += 3 * DAY;
    expect(logs.messages({}, 10_000)).not.toContain("denied at the start");
    logs.push(logs.denial("denied today"));
    expect(logs.messages({}, 1)).toEqual(["denied today"]);
  });

  test("threat-30 denials are bounded too, and the newest stay", () => {
    using logs = new Logs();
    for (let batch = 0; batch < 110; batch++) {
      logs.store.append(
        "s",
        Array.from({ length: 100 }, (_, i) => logs.denial(String(batch * 100 + i))),
      );
    }
    expect(logs.store.count("s")).toBeLessThanOrEqual(DENIALS_KEPT + 500);
    expect(logs.messages({}, 1)).toEqual(["10999"]);
  });

  test("a file of before keeps its lines", () => {
    const directory = mkdtempSync(join(tmpdir(), "logs-"));
    try {
      const file = join(directory, "logs.db");
      const old = new Database(file, { create: true });
      old.run(
        "CREATE TABLE lines (id INTEGER PRIMARY KEY AUTOINCREMENT, sandbox_id TEXT NOT NULL, time INTEGER NOT NULL, level TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL, message TEXT NOT NULL, fields TEXT NOT NULL) STRICT",
      );
      old.run(
        "INSERT INTO lines (sandbox_id, time, level, source, target, message, fields) VALUES ('s', 1, 'INFO', 'gateway', 't', 'old', '{}')",
      );
      old.close();
      using store = openLogStore(file);
      store.append("s", [create(SandboxLogLineSchema, { message: "new" })]);
      expect([...store.newest("s")].map(({ message }) => message)).toEqual(["new", "old"]);
      expect(store.count("s")).toBe(2);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe("what is answered", () => {
  test("since, source and level, and the newest of what passes", () => {
    using logs = new Logs();
    logs.push(logs.line("first", { level: "ERROR" }));
    logs.now += DAY;
    const between = logs.now;
    logs.push(logs.line("second", { level: "DEBUG" }), logs.line("third", { level: "WARN" }));
    logs.service.gateway("s", "INFO", "fourth");
    expect(logs.messages()).toEqual(["first", "second", "third", "fourth"]);
    expect(logs.messages({ minLevel: "WARN" })).toEqual(["first", "third"]);
    expect(logs.messages({ minLevel: "INFO" })).toEqual(["first", "third", "fourth"]);
    expect(logs.messages({ sources: ["gateway"] })).toEqual(["fourth"]);
    expect(logs.messages({ sources: ["sandbox"] }, 1)).toEqual(["third"]);
    expect(logs.messages({ since: between })).toEqual(["second", "third", "fourth"]);
  });

  test("long lines never make an answer that clients cannot take", () => {
    using logs = new Logs();
    logs.store.append(
      "s",
      Array.from({ length: 1000 }, (_, i) => logs.line(`${i} ${"x".repeat(16_000)}`)),
    );
    const { lines, total } = logs.service.tail("s", LOG_LINES_KEPT, ALL);
    expect(total).toBe(1000);
    expect(lines.at(-1)?.message).toStartWith("999 ");
    expect(toBinary(GetSandboxLogsResponseSchema, create(GetSandboxLogsResponseSchema, { logs: lines })).length).toBeLessThan(
      MAX_RESPONSE_BYTES,
    );
  });

  test("threat-32 a sandbox's text holds no control bytes, whatever its supervisor sends", () => {
    using logs = new Logs();
    logs.push(
      logs.line("\x1b]52;c;aGk=\x07 \u202e next\r\n", {
        level: "IN\x1bFO",
        target: "t\x9b",
        fields: { "k\x00": "\x1b[2J" },
        source: "gateway",
      }),
    );
    const [line] = logs.service.tail("s", 1, ALL).lines;
    const all = JSON.stringify([line?.message, line?.level, line?.target, line?.fields]);
    expect(all).not.toMatch(/\\u00|[^\x20-\x7e]/);
    expect(line?.source).toBe("sandbox");
    expect(line?.message).toContain("\\x1b]52");
  });

  test("a time ahead of the gateway's is not believed", () => {
    using logs = new Logs();
    logs.push(logs.line("later", { eventTime: timestampFromMs(logs.now + 10 * DAY) }));
    expect(Number(logs.service.tail("s", 1, ALL).lines[0]?.eventTime?.seconds) * 1000).toBeLessThanOrEqual(logs.now);
  });
});
