/** A sandbox for one command: its exit code is the command's, however short it is, and nothing is left. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { GatewayHost, missingForGateway, workspaceScope } from "./host.ts";

const missing = missingForGateway();
let host: GatewayHost;

describe.skipIf(missing !== undefined)(`sandbox create --no-keep${missing === undefined ? "" : ` (${missing})`}`, () => {
  beforeAll(async () => {
    host = await GatewayHost.open();
    await host.start();
  }, 60_000);
  afterAll(async () => await host?.[Symbol.asyncDispose](), 60_000);

  test("ends with the exit code of a command that is over at once", async () => {
    for (const wanted of [0, 3, 0, 7]) {
      const { code, err } = await host.cli("sandbox", "create", "--no-keep", "--", "/bin/sh", "-c", `exit ${wanted}`);
      expect([code, err.includes("Error")]).toEqual([wanted, false]);
    }
    using connected = host.connect();
    expect((await connected.client.listSandboxes({ workspaceScope, pageSize: 10 })).sandboxes).toEqual([]);
  }, 120_000);
});
