/** A sandbox for one command: its exit code is the command's, however short it is, and nothing is left. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually } from "../eventually.ts";
import { GatewayHost, missingForGateway, workspaceScope } from "./host.ts";

const missing = missingForGateway();
let host: GatewayHost;

describe.skipIf(missing !== undefined)(`sandbox create --no-keep${missing === undefined ? "" : ` (${missing})`}`, () => {
  beforeAll(async () => {
    host = await GatewayHost.open();
    await host.start();
  }, 60_000);
  afterAll(async () => await host?.[Symbol.asyncDispose](), 60_000);

  const run = (...command: string[]) => host.cli("sandbox", "create", "--no-keep", "--", ...command);
  const left = async () => {
    using connected = host.connect();
    return (await connected.client.listSandboxes({ workspaceScope, pageSize: 10 })).sandboxes.length;
  };

  test("ends with the exit code of a command that is over at once", async () => {
    for (const wanted of [0, 3, 0, 7]) {
      const { code, err } = await run("/bin/sh", "-c", `exit ${wanted}`);
      expect([code, err.includes("Error")]).toEqual([wanted, false]);
    }
    expect(await left()).toBe(0);
  }, 120_000);

  test("shows what it writes, each stream where it belongs, and nothing else on standard output", async () => {
    expect(await run("/bin/echo", "hi")).toMatchObject({ code: 0, out: "hi\n" });
    const { code, out, err } = await run("/bin/sh", "-c", "echo out; echo err >&2; kill -TERM $$");
    expect([code, out]).toEqual([143, "out\n"]);
    expect(err).toContain("err\n");
    expect(await run("/no/such")).toMatchObject({ code: 127, out: "", err: expect.stringContaining("is not a program in the sandbox") });
    expect(await left()).toBe(0);
  }, 120_000);

  test("feeds it, to the end of the input", async () => {
    expect(await host.fed("x\n", "sandbox", "create", "--no-keep", "--", "/bin/cat")).toMatchObject({ code: 0, out: "x\n" });
    // Without any it reads the end at once.
    expect(await run("/bin/cat")).toMatchObject({ code: 0, out: "" });
    const much = Buffer.alloc(3_000_000, "0123456789\n").toString();
    const { out } = await host.fed(much, "sandbox", "create", "--no-keep", "--", "/bin/cat");
    expect(out.length === much.length && out === much).toBe(true);
  }, 120_000);

  test("nothing is lost of an output that begins long before somebody takes it", async () => {
    const lines = (await run("/bin/sh", "-c", "seq 400000")).out.split("\n");
    expect([lines.length, lines[0], lines.at(-2)]).toEqual([400_001, "1", "400000"]);
  }, 120_000);

  test("ends with the one who follows it, and leaves nothing", async () => {
    const child = host.spawn("sandbox", "create", "--no-keep", "--", "/bin/sh", "-c", "echo started; exec sleep 100000");
    const { value } = await child.stdout.getReader().read();
    expect(new TextDecoder().decode(value)).toBe("started\n");
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    expect(await left()).toBe(0);
    expect(host.supervisors()).toEqual([]);
  }, 120_000);

  test("or whose terminal is closed", async () => {
    const child = host.spawn("sandbox", "create", "--no-keep", "--", "/bin/sh", "-c", "echo started; exec sleep 100000");
    await child.stdout.getReader().read();
    child.kill("SIGHUP");
    expect(await child.exited).toBe(129);
    expect(await left()).toBe(0);
  }, 120_000);

  test("what the command has left behind may write for ever: it ends when nobody looks any more", async () => {
    const child = host.spawn(
      "sandbox",
      "create",
      "--no-keep",
      "--",
      "/bin/sh",
      "-c",
      "(while :; do echo more; sleep 0.2; done) & echo started",
    );
    await child.stdout.getReader().read();
    child.kill("SIGKILL");
    await child.exited;
    await eventually("the end of the sandbox", 60_000, async () => (await left()) === 0 || undefined);
  }, 120_000);

  test("whoever follows can be killed: the command goes on and the sandbox goes when it ends", async () => {
    const child = host.spawn("sandbox", "create", "--no-keep", "--", "/bin/sh", "-c", "echo started; cat; exit 5");
    await child.stdout.getReader().read();
    child.kill("SIGKILL");
    await child.exited;
    await eventually("the end of the sandbox", 60_000, async () => (await left()) === 0 || undefined);
    await eventually("no supervisor", 30_000, async () => host.supervisors().length === 0 || undefined);
  }, 120_000);
});
