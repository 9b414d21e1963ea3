import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { createContextValues, createHandlerContext } from "@connectrpc/connect";
import {
  DeleteSandboxRequestSchema,
  type DeleteSandboxResponse,
  DeleteSandboxResponseSchema,
  DeletionOutcome,
  type ExecSandboxEvent,
  ExecSandboxEventSchema,
  ExecSandboxRequestSchema,
  OpenShell,
  StopSandboxRequestSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { principalKey } from "../auth/principal.ts";
import { openStore, type Store } from "../store/database.ts";
import { requestIdRepository } from "../store/request-ids.ts";
import { KeptOutput } from "./kept-output.ts";
import { type Beginning, replay } from "./replay.ts";

const requestId = "6f1f0f5e-95d5-4c8e-9f5e-0b0c0d0e0f01";
const request = (name: string) => create(DeleteSandboxRequestSchema, { name, requestId });
const answer = (sandboxId: string) => create(DeleteSandboxResponseSchema, { outcome: DeletionOutcome.COMPLETED, sandboxId });

function callOf(subject: string) {
  const contextValues = createContextValues().set(principalKey, { kind: "user", subject, provider: "mtls", operator: false });
  return createHandlerContext({ ...method, contextValues });
}
const method = {
  service: OpenShell,
  method: OpenShell.method.deleteSandbox,
  protocolName: "grpc",
  requestMethod: "POST",
  url: "https://gateway.test/",
};

describe("request_id", () => {
  let directory: string;
  let store: Store;
  let output: KeptOutput;
  const open = () => {
    store = openStore(join(directory, "a.db"));
    output = new KeptOutput((sandboxId) => sandboxId !== "gone");
    return replay(store, requestIdRepository(store.db), { now: () => 1 }, output);
  };
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "replay-"));
  });
  afterEach(() => {
    store[Symbol.dispose]();
    rmSync(directory, { recursive: true });
  });

  test("an answer that was remembered with the change survives a gateway that ends before it answers", async () => {
    const first = open();
    void first.later<DeleteSandboxResponse>(request("a"), callOf("ann"), (remember) => {
      store.transaction(() => remember(answer("1")));
      return new Promise(() => {});
    });
    store[Symbol.dispose]();
    const again = await open().later<DeleteSandboxResponse>(request("a"), callOf("ann"), () => Promise.reject(new Error("ran again")));
    expect(again.sandboxId).toBe("1");
  });

  test("who repeats a running call waits for it, and does not read what it remembered too early", async () => {
    const { later } = open();
    const finish = Promise.withResolvers<void>();
    const run = async (remember: (answer: DeleteSandboxResponse) => void) => {
      remember(answer("1"));
      await finish.promise;
      throw new Error("the disk is full");
    };
    const calls = [
      later<DeleteSandboxResponse>(request("a"), callOf("ann"), run),
      later<DeleteSandboxResponse>(request("a"), callOf("ann"), run),
    ];
    finish.resolve();
    expect((await Promise.allSettled(calls)).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    // A failure is not an answer: the next call runs.
    expect((await later<DeleteSandboxResponse>(request("a"), callOf("ann"), async () => answer("2"))).sandboxId).toBe("2");
  });

  test("another payload or another caller is refused", async () => {
    const { later } = open();
    await later<DeleteSandboxResponse>(request("a"), callOf("ann"), async () => answer("1"));
    const never = () => Promise.reject(new Error("ran"));
    for (const [name, caller] of [
      ["b", "ann"],
      ["a", "bob"],
    ] as const) {
      await expect(later<DeleteSandboxResponse>(request(name), callOf(caller), never)).rejects.toThrow("request_id was used");
    }
  });

  test("another payload, caller or method is refused as well while the first call still runs, and gets no answer of it", async () => {
    const { later } = open();
    const finish = Promise.withResolvers<void>();
    const first = later<DeleteSandboxResponse>(request("a"), callOf("ann"), async () => {
      await finish.promise;
      return answer("1");
    });
    const never = () => Promise.reject(new Error("ran"));
    const stop = createHandlerContext({ ...method, method: OpenShell.method.stopSandbox, contextValues: callOf("ann").values });
    for (const [other, call] of [
      [request("b"), callOf("ann")],
      [request("a"), callOf("bob")],
      [create(StopSandboxRequestSchema, { name: "a", requestId }), stop],
    ] as const)
      await expect(later<DeleteSandboxResponse>(other, call, never)).rejects.toThrow("request_id was used");
    finish.resolve();
    expect((await first).sandboxId).toBe("1");
  });

  test("one id is one id in capitals too", async () => {
    const { later } = open();
    await later<DeleteSandboxResponse>(request("a"), callOf("ann"), async () => answer("1"));
    const capitals = create(DeleteSandboxRequestSchema, { name: "a", requestId: requestId.toUpperCase() });
    expect((await later<DeleteSandboxResponse>(capitals, callOf("ann"), () => Promise.reject(new Error("ran again")))).sandboxId).toBe("1");
  });

  describe("of a command", () => {
    const exec = (id: string) => create(ExecSandboxRequestSchema, { sandbox: "a", command: ["date"], requestId: id });
    const call = createHandlerContext({ ...method, method: OpenShell.method.execSandbox, contextValues: callOf("ann").values });
    const event = (data: Uint8Array) => create(ExecSandboxEventSchema, { payload: { case: "stdout", value: { data } } });
    const other = requestId.replace("6f", "7f");
    let runs = 0;
    const collect = async (answers: AsyncIterable<ExecSandboxEvent>) => (await Array.fromAsync(answers)).length;
    const said = (replay_: ReturnType<typeof open>, id: string, pieces: readonly Uint8Array[] = [], sandboxId = "1") =>
      collect(
        replay_.streamed<ExecSandboxEvent>(exec(id), call, sandboxId, async function* (beginning) {
          beginning.asked();
          runs += 1;
          for (const piece of pieces) yield event(piece);
        }),
      );
    beforeEach(() => {
      runs = 0;
    });

    test("it runs once: its short answer is given again, of a long or unfinished one only that it was run", async () => {
      const replaying = open();
      expect(await said(replaying, requestId, [Buffer.from("a"), Buffer.from("b")])).toBe(2);
      expect([await said(replaying, requestId), runs]).toEqual([2, 1]);
      expect(await said(replaying, other, [Buffer.alloc(200_000), Buffer.alloc(200_000)])).toBe(2);
      await expect(said(replaying, other)).rejects.toThrow("this request was made before");
      await expect(said(replaying, "no uuid")).rejects.toThrow("must be a UUID");
      expect(await said(replaying, "", [Buffer.from("a")])).toBe(1);
      expect(runs).toBe(3);
    });

    test("what it wrote is in no file, and gone with its sandbox or the gateway; it is not run again for that", async () => {
      const first = open();
      await said(first, requestId, [Buffer.from("sesame")]);
      await said(first, other, [Buffer.from("sesame")], "gone");
      await expect(said(first, other)).rejects.toMatchObject({ code: "failed_precondition" });
      output.forgetSandbox("1");
      await expect(said(first, requestId)).rejects.toMatchObject({ code: "failed_precondition" });
      store[Symbol.dispose]();
      for (const file of readdirSync(directory)) expect(readFileSync(join(directory, file)).includes("sesame")).toBe(false);
      await expect(said(open(), requestId)).rejects.toThrow("its command is not run again");
      expect(runs).toBe(2);
    });

    test("what certainly did not begin may be asked for again, what may have begun is not run again", async () => {
      const { streamed } = open();
      const fails = (before: (beginning: Beginning) => void) =>
        collect(
          // biome-ignore lint/correctness/useYield: it fails before it says anything
          streamed<ExecSandboxEvent>(exec(requestId), call, "1", async function* (beginning) {
            runs += 1;
            before(beginning);
            throw new Error("no channel");
          }),
        );
      await expect(fails(() => {})).rejects.toThrow("no channel");
      await expect(
        fails((beginning) => {
          beginning.asked();
          beginning.refused();
        }),
      ).rejects.toThrow("no channel");
      await expect(fails((beginning) => beginning.asked())).rejects.toThrow("no channel");
      await expect(fails(() => {})).rejects.toThrow("this request was made before");
      expect(runs).toBe(3);
    });

    test("one that waits for its sandbox is not begun a second time beside it", async () => {
      const replaying = open();
      const go = Promise.withResolvers<void>();
      const first = collect(
        replaying.streamed<ExecSandboxEvent>(exec(requestId), call, "1", async function* (beginning) {
          await go.promise;
          beginning.asked();
          yield event(Buffer.from("a"));
        }),
      );
      await expect(said(replaying, requestId)).rejects.toThrow("this request was made before");
      go.resolve();
      expect([await first, await said(replaying, requestId), runs]).toEqual([1, 1, 0]);
    });

    test("all together are bounded: the oldest goes", () => {
      const kept = new KeptOutput(() => true, 3000);
      for (const id of ["a", "b", "c"]) kept.keep(id, "1", Buffer.alloc(500));
      expect(["a", "b", "c"].map((id) => kept.find(id)?.length)).toEqual([undefined, 500, 500]);
      for (let i = 0; i < 100; i += 1) kept.keep(`empty ${i}`, "1", Buffer.alloc(0));
      expect([kept.find("c"), kept.find("empty 99")?.length]).toEqual([undefined, 0]);
    });
  });

  test("nothing is told before the transaction is durable, and nothing when it is rolled back", () => {
    open();
    const told: string[] = [];
    store.transaction(() => {
      store.transaction(() => store.afterCommit(() => told.push("inner")));
      expect(told).toEqual([]);
    });
    expect(told).toEqual(["inner"]);
    expect(() =>
      store.transaction(() => {
        store.afterCommit(() => told.push("never"));
        throw new Error("rolled back");
      }),
    ).toThrow("rolled back");
    store.afterCommit(() => told.push("at once"));
    expect(told).toEqual(["inner", "at once"]);
  });
});
