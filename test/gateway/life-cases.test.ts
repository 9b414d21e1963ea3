/** Cases about a sandbox's life that need no network: orphans and time limits, the two kinds of logs, and a gateway that is away. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../eventually.ts";
import { GatewayHost, missingForGateway } from "./host.ts";

const missing = missingForGateway() ?? (existsSync("/bin/bash") ? undefined : "/bin/bash is not installed");
if (missing !== undefined) console.log(`skipped: a sandbox's life through the gateway: ${missing}`);

/** For what takes a second, on a machine that does other things too. Milliseconds. */
const PATIENCE = 60_000;
/** More than a supervisor keeps while its gateway is away. */
const DENIALS = 260;
const KEPT = 200;

/** Waits for a word, then asks for many names that no rule allows, and writes down the proxy's answers. */
const PROBES = `
  until [ -e /sandbox/go ]; do sleep 0.1; done
  for number in $(seq 1 ${DENIALS}); do
    exec 3<>/dev/tcp/10.200.0.1/3128
    printf 'CONNECT n%s.example:443 HTTP/1.1\\r\\nHost: n%s.example:443\\r\\n\\r\\n' $number $number >&3
    read -r line <&3; echo "$line"
    exec 3>&-
  done > /sandbox/answers
  mv /sandbox/answers /sandbox/done
  exec sleep infinity`;

describe.skipIf(missing !== undefined)("a sandbox's life through the gateway", () => {
  let host: GatewayHost;
  beforeAll(async () => {
    host = await GatewayHost.open();
    await host.start();
  });
  afterAll(() => host?.[Symbol.asyncDispose]());

  const must = async (...argv: string[]): Promise<string> => {
    const { code, out, err } = await host.cli(...argv);
    if (code !== 0) throw new Error(`${argv.join(" ")}: exit ${code}\n${out}${err}\n${host.diagnosis()}`);
    return out;
  };
  const directoryOf = async (name: string): Promise<string> =>
    join(host.sandboxesDirectory, (JSON.parse(await must("sandbox", "get", name, "-o", "json")) as { id: string }).id);
  const inside = (name: string, script: string) => must("sandbox", "exec", "-n", name, "--", "/bin/bash", "-c", script);
  const denied = (name: string) =>
    `exec 3<>/dev/tcp/10.200.0.1/3128; printf 'CONNECT ${name}:443 HTTP/1.1\\r\\nHost: ${name}:443\\r\\n\\r\\n' >&3; read -r line <&3; echo "$line"`;

  test(
    "case-101 a command that takes too long ends with 124, and orphans leave no zombies",
    async () => {
      await must("sandbox", "create", "--name", "short");
      expect((await host.cli("sandbox", "exec", "-n", "short", "--timeout", "1", "--", "sleep", "100")).code).toBe(124);
      await inside("short", "for i in 1 2 3 4 5; do (sleep 0.1 &) ; done; (setsid sleep 0.2 &)");
      const zombies = "grep -l '^State:.Z' /proc/[0-9]*/status | wc -l; grep -l sleep /proc/[0-9]*/comm | wc -l";
      await eventually("no zombie and no sleeper", PATIENCE, async () =>
        (await inside("short", zombies)) === "0\n0\n" ? true : undefined,
      );
    },
    PATIENCE * 2,
  );

  test(
    "case-114 readable lines with severities; records of OCSF while the setting is on, within a poll",
    async () => {
      await must("sandbox", "create", "--name", "noted");
      const files = join(await directoryOf("noted"), "log");
      const records = () =>
        readdirSync(files)
          .filter((name) => name.includes("ocsf"))
          .flatMap((name) => readFileSync(join(files, name), "utf8").split("\n").filter(Boolean))
          .map((line) => JSON.parse(line) as { class_uid: number; dst_endpoint?: { domain?: string; hostname?: string } });
      await inside("noted", denied("before.example"));
      const line = await eventually("the readable line", PATIENCE, async () =>
        (await must("logs", "noted")).split("\n").find((text) => text.includes("before.example")),
      );
      expect(line).toMatch(/\[MED\].*\bDENIED\b.*before\.example:443/);
      expect(records()).toEqual([]);
      await must("settings", "set", "noted", "--key", "ocsf_json_enabled", "--value", "true");
      await eventually("a record", PATIENCE, async () => {
        await inside("noted", denied("after.example"));
        return records().some((record) => record.class_uid > 0 && JSON.stringify(record).includes("after.example")) ? true : undefined;
      });
      await must("settings", "set", "noted", "--key", "ocsf_json_enabled", "--value", "false");
      await eventually("no further records", PATIENCE, async () => {
        const before = records().length;
        await inside("noted", denied("later.example"));
        return records().length === before ? true : undefined;
      });
    },
    PATIENCE * 4,
  );

  test(
    "case-115 while the gateway is away the sandbox enforces; its newest lines arrive later, 200 at most",
    async () => {
      await must("sandbox", "create", "--name", "alone", "--no-tty", "--detach", "--", "/bin/bash", "-c", PROBES);
      const directory = await directoryOf("alone");
      await host.kill("SIGKILL");
      writeFileSync(join(directory, "workspace/go"), "", { mode: 0o644 });
      const answers = await eventually("the probes' answers", PATIENCE, async () => {
        const file = join(directory, "workspace/done");
        return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : undefined;
      });
      expect(answers).toHaveLength(DENIALS);
      expect(new Set(answers.map((answer) => answer.trim()))).toEqual(new Set(["HTTP/1.1 403 Forbidden"]));
      await host.start();
      const lines = async () =>
        [...(await must("logs", "alone", "-n", "2000")).matchAll(/DENIED.*\bn(\d+)\.example/g)].map(([, number]) => Number(number));
      await eventually("the newest line", PATIENCE, async () => ((await lines()).includes(DENIALS) ? true : undefined));
      const came = await lines();
      expect(came.length).toBeGreaterThan(KEPT / 2);
      expect(came.length).toBeLessThanOrEqual(KEPT);
      expect(came).not.toContain(1);
      expect(await inside("alone", denied("again.example"))).toContain("403");
    },
    PATIENCE * 4,
  );
});
