/** One gateway for each state directory, by the compiled binary: a second one, a store of a newer version, and one that stands still. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { eventually } from "../eventually.ts";
import { BINARY, freePort, GatewayHost, missingForGateway } from "./host.ts";

const missing = missingForGateway();
if (missing !== undefined) console.log(`skipped: one gateway alone: ${missing}`);

/** Longer than a ping of a connection may go without an answer. Milliseconds. */
const STANDSTILL = 20_000;

describe.skipIf(missing !== undefined)("one gateway alone", () => {
  let host: GatewayHost;
  beforeAll(async () => {
    host = await GatewayHost.open();
    await host.start();
    expect(await host.cli("sandbox", "create", "--name", "alone")).toMatchObject({ code: 0 });
  }, 60_000);
  afterAll(() => host?.[Symbol.asyncDispose](), 60_000);
  const serve = async () => {
    const child = Bun.spawn([BINARY, "gateway", "serve", "--port", "0"], { cwd: "/", env: host.env, stdio: ["ignore", "pipe", "pipe"] });
    const [err, code] = await Promise.all([new Response(child.stderr).text(), child.exited]);
    return { code, err };
  };
  const echo = async () => (await host.cli("sandbox", "exec", "-n", "alone", "--", "/bin/echo", "here")).out;
  const database = () => new Database(join(host.directory, "state/openshell/gateway/openshell.db"));

  test("a second one on the same directory says who holds it, and changes nothing for the first", async () => {
    const { code, err } = await serve();
    expect(code).toBe(1);
    expect(err).toContain(`a gateway (pid ${host.pid}) already runs on ${join(host.directory, "state/openshell")}`);
    expect(err).toContain("--state-dir");
    expect(err).not.toContain("    at ");
    expect(await echo()).toBe("here\n");
  }, 60_000);

  test("one that stands still loses no sandbox: they enforce meanwhile and it answers when it goes on", async () => {
    const [supervisor] = host.supervisors();
    process.kill(host.pid, "SIGSTOP");
    await Bun.sleep(STANDSTILL);
    process.kill(host.pid, "SIGCONT");
    const again = async () => (await echo()) === "here\n" || undefined;
    await eventually("a command after the standstill", 60_000, again, async () => host.diagnosis());
    expect(host.supervisors()).toEqual(supervisor === undefined ? [] : [supervisor]);
    expect((await host.cli("sandbox", "list")).out).toContain("Ready");
  }, 120_000);

  test("one that comes back on another port has its sandboxes all the same", async () => {
    const [supervisor] = host.supervisors();
    await host.kill("SIGKILL");
    host.port = await freePort();
    await host.start();
    await eventually(
      "a command after that",
      60_000,
      async () => (await echo()) === "here\n" || undefined,
      async () => host.diagnosis(),
    );
    expect(host.supervisors()).toEqual(supervisor === undefined ? [] : [supervisor]);
  }, 120_000);

  test("the store of a newer version is refused, and untouched", async () => {
    await host.kill("SIGTERM");
    const steps = () => {
      using db = database();
      return db.query<{ number: number }, []>("SELECT number FROM schema_steps ORDER BY number").values().flat();
    };
    const before = steps();
    {
      using db = database();
      db.run("INSERT INTO schema_steps VALUES (9999)");
    }
    const { code, err } = await serve();
    expect(code).toBe(1);
    expect(err).toContain("was written by a newer openshell (schema step 9999)");
    expect(err).toContain("Next: start the newer version");
    expect(err).not.toContain("    at ");
    expect(steps()).toEqual([...before, 9999]);
    {
      using db = database();
      db.run("DELETE FROM schema_steps WHERE number = 9999");
    }
    await host.start();
    await eventually("the sandbox after that", 60_000, async () => (await echo()) === "here\n" || undefined);
  }, 120_000);
});
