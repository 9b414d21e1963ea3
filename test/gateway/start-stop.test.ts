/** The gateway in the background, as a person starts and stops it, and the sandbox that starts one. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { BINARY, GatewayHost, missingForGateway } from "./host.ts";

const missing = missingForGateway();
if (missing !== undefined) console.log(`skipped: gateway start and stop: ${missing}`);

describe.skipIf(missing !== undefined)("gateway start, stop, status", () => {
  let host: GatewayHost;
  beforeAll(async () => {
    host = await GatewayHost.open();
  });
  afterAll(async () => {
    await cli("gateway", "stop");
    await host[Symbol.asyncDispose]();
  });

  async function cli(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
    const child = Bun.spawn({ cmd: [BINARY, ...argv], cwd: "/", env: host.env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
    return { code, out, err };
  }
  const status = async () => JSON.parse((await cli("gateway", "status", "-o", "json")).out) as { running: boolean; pid: number | null };

  test("start returns when it is ready, a second start names it, stop ends it and leaves sandboxes running", async () => {
    expect((await cli("gateway", "status")).code).toBe(1);
    expect(await cli("gateway", "start", "--port", String(host.port))).toMatchObject({
      code: 0,
      out: expect.stringContaining("The gateway runs"),
    });
    const { running, pid } = await status();
    expect(running).toBe(true);
    expect(await cli("gateway", "start")).toMatchObject({ code: 1, err: expect.stringContaining(`pid ${pid}`) });
    expect((await cli("status")).code).toBe(0);

    expect((await cli("sandbox", "create", "--name", "stays", "--pids", "512")).code).toBe(0);
    const before = host.supervisors();
    expect((await cli("gateway", "stop")).code).toBe(0);
    expect(await status()).toMatchObject({ running: false, pid: null });
    expect(host.supervisors()).toEqual(before);
    expect(await cli("sandbox", "list")).toMatchObject({ code: 1, err: expect.stringContaining("is not running") });

    expect((await cli("gateway", "start", "--port", String(host.port))).code).toBe(0);
    expect((await cli("sandbox", "create", "--name", "stays")).err).toContain("already exists");
    expect((await cli("sandbox", "create", "--name", "stays", "--replace")).code).toBe(0);
    expect((await cli("sandbox", "delete", "stays")).code).toBe(0);
    expect(host.supervisors()).toEqual([]);
  });

  test("what keeps it from starting is told", async () => {
    await cli("gateway", "stop");
    const blocker = Bun.listen({ hostname: "127.0.0.1", port: host.port, socket: { data() {} } });
    expect(await cli("gateway", "start", "--port", String(host.port))).toMatchObject({
      code: 1,
      err: expect.stringContaining("is in use"),
    });
    blocker.stop();
  });

  test("the unit leaves sandboxes running when the service stops", async () => {
    const { out } = await cli("gateway", "start", "--systemd-unit");
    expect(out).toContain("KillMode=process");
    expect(out).toContain("gateway serve");
  });
});
