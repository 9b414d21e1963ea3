/** `sandbox create -- COMMAND` in a script: its output and exit code are the command's, and the sandbox stays. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually } from "../eventually.ts";
import { GatewayHost, missingForGateway } from "./host.ts";

const missing = missingForGateway();
let host: GatewayHost;

describe.skipIf(missing !== undefined)(`sandbox create -- COMMAND${missing === undefined ? "" : ` (${missing})`}`, () => {
  beforeAll(async () => {
    host = await GatewayHost.open();
    await host.start();
  }, 60_000);
  afterAll(async () => await host?.[Symbol.asyncDispose](), 60_000);

  const exec = (name: string, ...command: string[]) => host.cli("sandbox", "exec", "-n", name, "--", ...command);

  test("shows the command's output, feeds it and ends with its exit code; the sandbox stays", async () => {
    const ran = await host.fed("x\n", "sandbox", "create", "--name", "cat", "--", "/bin/sh", "-c", "cat; echo err >&2; exit 4");
    expect([ran.code, ran.out]).toEqual([4, "x\n"]);
    expect(ran.err).toContain("\nerr\n");
    expect(ran.err).toContain("The main process has ended with exit code 4; 'cat' stays");
    expect((await exec("cat", "/bin/echo", "here")).out).toBe("here\n");
  }, 120_000);

  test("nothing of a long output is lost", async () => {
    const { code, out } = await host.cli("sandbox", "create", "--name", "long", "--", "/bin/sh", "-c", "seq 400000");
    expect([code, out.split("\n").length, out.endsWith("\n400000\n")]).toEqual([0, 400_001, true]);
  }, 120_000);

  test("who is interrupted is told that the sandbox goes on, and so does the command", async () => {
    const script = "echo started; while [ ! -e /sandbox/go ]; do sleep 0.1; done; seq 200000 >&2; exit 6";
    const child = host.spawn("sandbox", "create", "--name", "left", "--", "/bin/sh", "-c", script);
    const { value } = await child.stdout.getReader().read();
    expect(new TextDecoder().decode(value)).toBe("started\n");
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    // Nobody is waited for any more: output that nobody takes holds nothing up.
    expect((await exec("left", "/bin/touch", "/sandbox/go")).code).toBe(0);
    await eventually("its end", 60_000, async () => /Exit code: +6/.test((await host.cli("sandbox", "get", "left")).out) || undefined);
  }, 120_000);

  test("--detach and -o json answer when the sandbox is ready, with the sandbox", async () => {
    const detached = await host.cli("sandbox", "create", "--name", "detached", "--detach", "--", "/bin/sleep", "1000");
    expect([detached.code, detached.out.includes("Created sandbox 'detached'")]).toEqual([0, true]);
    const json = await host.cli("sandbox", "create", "--name", "data", "-o", "json", "--", "/bin/sleep", "1000");
    expect([json.code, JSON.parse(json.out)]).toEqual([0, expect.objectContaining({ name: "data", phase: "Ready" })]);
  }, 120_000);
});
