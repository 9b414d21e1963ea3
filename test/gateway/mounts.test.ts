/** Directories of the host in sandboxes: what was permitted is what is seen, whatever another sandbox does to the way there. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../eventually.ts";
import { GatewayHost, missingForGateway } from "./host.ts";

const missing = missingForGateway();
if (missing !== undefined) console.log(`skipped: mounts: ${missing}`);

describe.skipIf(missing !== undefined)("threat-21 mounts of several sandboxes", () => {
  let host: GatewayHost;
  /** Not in /tmp, which is a sandbox's own. */
  let shared: string;
  let secret: string;
  beforeAll(async () => {
    host = await GatewayHost.open();
    shared = mkdtempSync("/var/tmp/openshell-shared-");
    secret = mkdtempSync("/var/tmp/openshell-secret-");
    for (const [directory, text] of [
      [join(shared, "project/sub"), "shared"],
      [secret, "secret"],
    ] as const) {
      mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, "file"), text);
      chmodSync(directory, 0o777);
    }
    chmodSync(shared, 0o755);
    chmodSync(secret, 0o755);
    chmodSync(join(shared, "project"), 0o777);
    symlinkSync("project", join(shared, "alias"));
    await host.start("--allow-mount", shared);
  }, 60_000);
  afterAll(async () => {
    await host[Symbol.asyncDispose]();
    for (const directory of [shared, secret]) rmSync(directory, { recursive: true });
  }, 60_000);

  const seen = async (name: string, path: string) => (await host.cli("sandbox", "exec", "-n", name, "--", "cat", path)).out;
  const policy = (): string => {
    const file = join(host.directory, "policy.yaml");
    const paths = ["/usr", "/lib", "/lib64", "/bin", "/etc", join(shared, "project/sub")];
    writeFileSync(
      file,
      `version: 1\nfilesystem_policy: {include_workdir: true, read_only: ${JSON.stringify(paths)}, read_write: [/tmp]}\nlandlock: {compatibility: best_effort}\n`,
    );
    return file;
  };

  test("a directory that another sandbox exchanged for a link is not followed at the next start", async () => {
    const project = join(shared, "project");
    expect(await host.cli("sandbox", "create", "--name", "writer", "--mount", `${project}:/work:rw`)).toMatchObject({ code: 0 });
    expect(await host.cli("sandbox", "create", "--name", "mounted", "--mount", `${project}/sub:/data:ro`)).toMatchObject({ code: 0 });
    expect(await host.cli("sandbox", "create", "--name", "listed", "--policy", policy())).toMatchObject({ code: 0 });
    expect(await seen("mounted", "/data/file")).toBe("shared");
    expect(await seen("listed", `${project}/sub/file`)).toBe("shared");
    expect((await host.cli("sandbox", "stop", "mounted")).code).toBe(0);
    expect((await host.cli("sandbox", "stop", "listed")).code).toBe(0);
    const swap = `mv /work/sub /work/old && ln -s ${secret} /work/sub`;
    expect((await host.cli("sandbox", "exec", "-n", "writer", "--", "sh", "-c", swap)).code).toBe(0);
    for (const [name, path] of [
      ["mounted", "/data/file"],
      ["listed", `${project}/sub/file`],
      ["listed", join(secret, "file")],
    ] as const) {
      await host.cli("sandbox", "start", name);
      const told = async () => ((await host.cli("sandbox", "get", name)).out.includes("symbolic link") ? true : undefined);
      await eventually("the refusal", 30_000, told);
      expect([name, await seen(name, path)]).toEqual([name, ""]);
    }
  }, 90_000);

  test("a read-only mount may be named by a link, which is settled when it is permitted", async () => {
    rmSync(join(shared, "project/sub"), { force: true });
    mkdirSync(join(shared, "project/linked"), { recursive: true });
    writeFileSync(join(shared, "project/linked/file"), "shared");
    const created = await host.cli("sandbox", "create", "--name", "aliased", "--mount", `${shared}/alias/linked:/data:ro`);
    expect(created).toMatchObject({ code: 0 });
    expect(await seen("aliased", "/data/file")).toBe("shared");
    rmSync(join(shared, "alias"));
    symlinkSync(secret, join(shared, "alias"));
    expect((await host.cli("sandbox", "stop", "aliased")).code).toBe(0);
    expect((await host.cli("sandbox", "start", "aliased")).code).toBe(0);
    await eventually("the start", 30_000, async () => ((await seen("aliased", "/etc/hostname")) === "" ? undefined : true));
    expect(await seen("aliased", "/data/file")).toBe("shared");
  }, 90_000);

  test("threat-15 configuration of tools that a program made in a mount is told in the log", async () => {
    const project = join(shared, "tools");
    mkdirSync(project);
    chmodSync(project, 0o777);
    const told = async () => {
      const { out } = await host.cli("logs", "planter", "-n", "1000");
      return [".envrc", ".vscode"].map((name) => out.includes(`${join(project, name)} is new: tools of yours run or obey`));
    };
    const made = await host.cli("sandbox", "create", "--name", "planter", "--mount", `${project}:/work:rw`, "--", "touch", "/work/.envrc");
    expect(made.code).toBe(0);
    await eventually("the first line", 30_000, async () => ((await told())[0] === true ? true : undefined));
    await host.cli("sandbox", "exec", "-n", "planter", "--", "mkdir", "/work/.vscode");
    await eventually("the second line", 60_000, async () => ((await told()).every(Boolean) ? true : undefined));
  }, 120_000);
});
