import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { SandboxLogLineSchema, SandboxSpecSchema, SandboxStatusSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { openStore } from "./database.ts";
import { LOG_LINES_KEPT, openLogStore } from "./logs.ts";
import { policyRevisionRepository } from "./policy-revisions.ts";
import { REPLAY_WINDOW_MS, requestIdRepository } from "./request-ids.ts";
import { type SandboxRecord, sandboxRepository } from "./sandboxes.ts";
import { GLOBAL_SCOPE, settingsRepository } from "./settings.ts";

function record(name: string, uid: number): SandboxRecord {
  return {
    id: crypto.randomUUID(),
    workspace: "default",
    name,
    createdAt: 1,
    resourceVersion: 1,
    labels: { a: "b" },
    annotations: {},
    spec: create(SandboxSpecSchema, { command: ["true"] }),
    status: create(SandboxStatusSchema),
    desired: "running",
    instanceId: "i",
    uid,
  };
}

describe("store", () => {
  test("a sandbox survives reopening, a taken name is already_exists", () => {
    const dir = mkdtempSync(join(tmpdir(), "store-"));
    try {
      const first = record("one", 1);
      {
        using store = openStore(join(dir, "db"));
        sandboxRepository(store.db).insert(first);
      }
      using store = openStore(join(dir, "db"));
      const sandboxes = sandboxRepository(store.db);
      expect(sandboxes.get(first.id)).toEqual(first);
      expect(() => sandboxes.insert(record("one", 2))).toThrow("already exists");
      expect(sandboxes.update(first.id, { desired: "stopped" }).resourceVersion).toBe(2);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  test("the files are their owner's alone, also those of an earlier version", () => {
    const dir = mkdtempSync(join(tmpdir(), "store-"));
    try {
      writeFileSync(join(dir, "db"), "", { mode: 0o644 });
      for (const name of ["db", "new"]) {
        using store = openStore(join(dir, name));
        sandboxRepository(store.db).insert(record("one", 1));
        for (const suffix of ["", "-wal", "-shm"])
          expect([name + suffix, statSync(join(dir, name + suffix)).mode & 0o777]).toEqual([name + suffix, 0o600]);
      }
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  test("pages follow (workspace, name) and cover everything once", () => {
    using store = openStore(":memory:");
    const sandboxes = sandboxRepository(store.db);
    for (const [index, name] of ["c", "a", "b"].entries()) sandboxes.insert(record(name, index));
    const first = sandboxes.list("default", ["", ""], 2);
    expect(first.map((r) => r.name)).toEqual(["a", "b"]);
    expect(sandboxes.list(undefined, ["default", "b"], 2).map((r) => r.name)).toEqual(["c"]);
  });

  test("loading a revision supersedes the older ones; deleting the sandbox removes them", () => {
    using store = openStore(":memory:");
    const sandboxes = sandboxRepository(store.db);
    const revisions = policyRevisionRepository(store.db);
    const sandbox = record("one", 1);
    sandboxes.insert(sandbox);
    for (const version of [1, 2, 3]) {
      revisions.insert({ sandboxId: sandbox.id, version, hash: `h${version}`, policy: new Uint8Array(), createdAt: 1, provenance: {} });
    }
    revisions.markFailed(sandbox.id, 2, "bad");
    revisions.markLoaded(sandbox.id, 3, 5);
    expect(revisions.list(sandbox.id, 99, 10).map((r) => [r.version, r.status])).toEqual([
      [3, "loaded"],
      [2, "failed"],
      [1, "superseded"],
    ]);
    sandboxes.delete(sandbox.id);
    expect(revisions.latest(sandbox.id)).toBeUndefined();
  });

  test("a failed transaction leaves nothing", () => {
    using store = openStore(":memory:");
    const settings = settingsRepository(store.db);
    expect(() =>
      store.transaction(() => {
        settings.put(GLOBAL_SCOPE, "k", true);
        throw new Error("no");
      }),
    ).toThrow("no");
    expect(settings.get(GLOBAL_SCOPE, "k")).toBeUndefined();
    expect(settings.revision()).toBe(0);
  });

  test("the settings revision counts changes, not writes", () => {
    using store = openStore(":memory:");
    const settings = settingsRepository(store.db);
    expect(settings.put("s", "k", 1)).toBe(true);
    expect(settings.put("s", "k", 1)).toBe(false);
    expect(settings.put("s", "k", undefined)).toBe(true);
    expect(settings.revision()).toBe(2);
  });

  test("answers are remembered for a day", () => {
    using store = openStore(":memory:");
    const requests = requestIdRepository(store.db);
    requests.record("id", { method: "m", caller: "c", digest: "d", response: new Uint8Array([1]) }, 1000);
    expect(requests.find("id", 2000)?.method).toBe("m");
    expect(requests.find("id", 1000 + REPLAY_WINDOW_MS)).toBeUndefined();
  });

  test("a store of a newer version is refused", () => {
    const dir = mkdtempSync(join(tmpdir(), "store-"));
    try {
      openStore(join(dir, "db"))[Symbol.dispose]();
      expect(() => openStore(join(dir, "db"), [])).toThrow("newer openshell");
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  test("logs keep the last lines only", () => {
    using logs = openLogStore(":memory:");
    for (let batch = 0; batch < 26; batch++) {
      logs.append(
        "s",
        Array.from({ length: 100 }, (_, i) => create(SandboxLogLineSchema, { message: String(batch * 100 + i) })),
      );
    }
    expect(logs.count("s")).toBeLessThan(LOG_LINES_KEPT + 500);
    expect([...logs.newest("s")][0]?.message).toBe("2599");
  });
});
