/** A download that is interrupted takes away what had come: it may be gigabytes, under a name that nobody looks at. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../eventually.ts";
import { GatewayHost, missingForGateway } from "./host.ts";

const missing = missingForGateway();
if (missing !== undefined) console.log(`skipped: an interrupted download: ${missing}`);

describe.skipIf(missing !== undefined)("a download", () => {
  let host: GatewayHost;
  let place: string;
  beforeAll(async () => {
    host = await GatewayHost.open();
    await host.start();
    expect(await host.cli("sandbox", "create", "--name", "one")).toMatchObject({ code: 0 });
    // More than comes before we look, and nothing on its disk.
    expect(await host.cli("sandbox", "exec", "-n", "one", "--", "truncate", "-s", "8G", "/sandbox/large")).toMatchObject({ code: 0 });
    place = join(host.directory, "here");
    mkdirSync(place);
  }, 60_000);
  afterAll(() => host?.[Symbol.asyncDispose](), 60_000);

  const arrived = () => readdirSync(place, { recursive: true }).some((name) => statSync(join(place, String(name))).size > 1024 ** 2);

  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)
    test(`${signal} leaves nothing of it`, async () => {
      const child = host.spawn("sandbox", "download", "one", "large", place);
      await eventually("some of it", 60_000, async () => arrived() || undefined);
      child.kill(signal);
      expect(await child.exited).toBe(code);
      expect(readdirSync(place)).toEqual([]);
    }, 120_000);
});
