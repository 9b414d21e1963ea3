/** A gateway whose disk is full or read-only: it says so, loses nothing that it acknowledged, and its sandboxes enforce on. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../eventually.ts";
import { BINARY, GatewayHost, missingForGateway } from "./host.ts";

const TOOLS = ["/usr/bin/perl", "/usr/bin/unshare", "/usr/bin/nsenter", "/bin/mount"];
const missing = missingForGateway() ?? TOOLS.filter((tool) => !existsSync(tool)).map((tool) => `${tool} is needed`)[0];
if (missing !== undefined) console.log(`skipped: full and read-only disks: ${missing}`);

const PERL = "/usr/bin/perl";
const DENIED = `use Socket; socket(my $p, PF_INET, SOCK_STREAM, 0); connect $p, pack_sockaddr_in(3128, inet_aton("10.200.0.1")); syswrite $p, "CONNECT api.example.com:443 HTTP/1.1\\r\\nHost: api.example.com:443\\r\\n\\r\\n"; my $b = ""; sysread $p, $b, 65536; print +(split " ", $b)[1]`;
/** A store, its logs, and room for the files of some sandboxes. */
const SIZE = "8m";

describe.skipIf(missing !== undefined)("a disk of its own", () => {
  let host: GatewayHost;
  /** Holds a mount namespace in which the state directory is a small disk. */
  let holder: Bun.Subprocess<"pipe", "pipe", "inherit">;
  beforeAll(async () => {
    host = await GatewayHost.open();
    const state = join(host.directory, "state");
    mkdirSync(state);
    holder = Bun.spawn({
      cmd: ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", `mount -t tmpfs -o size=${SIZE},mode=700 none ${state} && echo up && read end`],
      stdio: ["pipe", "pipe", "inherit"],
    });
    for await (const _ of holder.stdout) break;
    host.prefix = ["/usr/bin/nsenter", "--target", String(holder.pid), "--mount"];
    await host.start();
    expect(await host.cli("sandbox", "create", "--name", "before")).toMatchObject({ code: 0 });
  });
  afterAll(async () => {
    await host?.[Symbol.asyncDispose]();
    holder?.kill();
  });
  const shell = (script: string) =>
    Bun.spawnSync(["/usr/bin/nsenter", "--target", String(holder.pid), "--mount", "/bin/sh", "-c", script], { cwd: "/" });
  const state = () => join(host.directory, "state/openshell");
  const echo = async () => {
    const { out, err } = await host.cli("sandbox", "exec", "-n", "before", "--", "/bin/echo", "here");
    return out === "" ? `${err}\n${host.diagnosis()}` : out;
  };

  test("full: what needs space is refused with the reason, what runs runs on, and afterwards all is as before", async () => {
    shell(`dd if=/dev/zero of=${state()}/filler bs=4k 2>/dev/null; true`);
    const refused = await host.cli("sandbox", "create", "--name", "during");
    expect(refused.code).toBe(1);
    expect(refused.err).toMatch(/is full|No space|ENOSPC/);
    // Events go to a log on the same disk, which cannot be written.
    for (let round = 0; round < 3; round++) {
      expect((await host.cli("sandbox", "exec", "-n", "before", "--", PERL, "-e", DENIED)).out).toBe("403");
      await Bun.sleep(300);
    }
    expect(await echo()).toBe("here\n");
    const names = async () => (await host.cli("sandbox", "list", "-o", "name")).out.split("\n").filter((name) => name !== "");
    expect(await names()).toContain("before");

    shell(`rm ${state()}/filler`);
    expect(await host.cli("sandbox", "create", "--name", "during", "--replace")).toMatchObject({ code: 0 });
    expect((await names()).sort()).toEqual(["before", "during"]);
    expect(await echo()).toBe("here\n");
  }, 120_000);

  test("full: a sandbox can be deleted, which makes room", async () => {
    expect(await host.cli("sandbox", "create", "--name", "large")).toMatchObject({ code: 0 });
    const fill = await host.cli("sandbox", "exec", "-n", "large", "--", "/bin/sh", "-c", "cat /dev/zero >/sandbox/filler; echo full");
    expect(fill.out).toBe("full\n");
    const refused = await host.cli("sandbox", "create", "--name", "larger");
    expect(refused.err).toMatch(/is full|No space|ENOSPC/);
    expect(await host.cli("sandbox", "delete", "large", "larger", "--yes").then(({ err }) => err)).not.toContain("full");
    expect((await host.cli("sandbox", "list", "-o", "name")).out).not.toContain("large\n");
    expect(await host.cli("sandbox", "create", "--name", "larger", "--replace")).toMatchObject({ code: 0 });
    expect(await host.cli("sandbox", "delete", "larger", "--yes")).toMatchObject({ code: 0 });
  }, 120_000);

  test("full when the supervisor ends: the end is told once there is space, and a restart of the gateway finds a whole store", async () => {
    shell(`dd if=/dev/zero of=${state()}/filler bs=4k 2>/dev/null; true`);
    const [supervisor] = host.supervisors();
    if (supervisor === undefined) throw new Error(`no supervisor: ${host.diagnosis()}`);
    process.kill(supervisor.pid, "SIGKILL");
    // Let it notice, and fail, at least once.
    await Bun.sleep(2500);
    expect((await host.cli("status")).code).toBe(0);
    shell(`rm ${state()}/filler`);
    await eventually(
      "an end that is told",
      60_000,
      async () => (await host.cli("sandbox", "list")).out.includes("Error") || undefined,
      async () => host.diagnosis(),
    );
    await host.kill("SIGKILL");
    await host.start();
    expect((await host.cli("sandbox", "list")).out).toContain("Error");
  }, 120_000);

  test("read-only: a gateway does not start and says what to change", async () => {
    // Files that a supervisor has open would keep the disk writable.
    await host.cli("sandbox", "delete", "--all", "--yes");
    await host.kill("SIGTERM");
    const remounted = shell(`mount -o remount,ro ${join(host.directory, "state")}`);
    if (remounted.exitCode !== 0) throw new Error(remounted.stderr.toString());
    const { exitCode, stderr } = Bun.spawnSync([...host.prefix, BINARY, "gateway", "serve", "--port", "0"], {
      env: host.env,
      cwd: "/",
      timeout: 30_000,
    });
    shell(`mount -o remount,rw ${join(host.directory, "state")}`);
    expect(exitCode).toBe(1);
    expect(stderr.toString()).toMatch(/cannot be (written|used) \((EROFS|SQLITE\w+)\)/);
    expect(stderr.toString()).toContain("--state-dir");
    await host.start();
    expect((await host.cli("status")).code).toBe(0);
  }, 120_000);
});
