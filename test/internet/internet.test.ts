/** The test internet itself: what the other tests rely on. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { eventually } from "../eventually.ts";
import { missingForTestInternet, openTestInternet, type TestInternet } from "./open.ts";

const missing = missingForTestInternet();
if (missing !== undefined) console.log(`skipped: the test internet: ${missing}`);

const FETCH =
  "const r = await fetch(process.argv[1], { tls: { ca: process.argv[2] && await Bun.file(process.argv[2]).text() } }); console.log(await r.text());";

function running(mark: string): boolean {
  return readdirSync("/proc").some((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(mark);
    } catch {
      return false; // ended meanwhile
    }
  });
}

describe.skipIf(missing !== undefined)("the test internet", () => {
  let net: TestInternet;
  beforeAll(async () => {
    net = await openTestInternet({ zones: { "rebinding.example.com": [["93.184.216.34"], ["127.0.0.1"]] } });
  });
  afterAll(() => net?.[Symbol.asyncDispose]());

  const fetchOnHost = (url: string) => net.runOnHost([process.execPath, "-e", FETCH, url, net.caFile]);

  test("names resolve by its DNS and servers answer on every address", async () => {
    const answer = await fetchOnHost("http://api.example.com/path?x=1");
    expect(answer.stderr).toBe("");
    expect(JSON.parse(answer.stdout)).toMatchObject({ scheme: "http", path: "/path?x=1", host: "api.example.com", bodyBytes: 0 });
    for (const url of ["http://169.254.169.254/", "http://100.100.100.200:8080/", "http://10.1.2.3/", "http://[2606:2800::1]/"]) {
      expect(JSON.parse((await fetchOnHost(url)).stdout).address).toBe(new URL(url).hostname.replace(/[[\]]/g, ""));
    }
    const { questions } = await net.seen();
    expect(questions.map(({ name }) => name)).toContain("api.example.com");
  });

  test("HTTPS servers have certificates for every name, from the test authority", async () => {
    expect(JSON.parse((await fetchOnHost("https://cdn.example.net/")).stdout)).toMatchObject({ scheme: "https", port: 443 });
  });

  test("a rebinding name gives another answer the second time", async () => {
    const ask = 'const { Resolver } = require("node:dns/promises"); console.log(await new Resolver().resolve4("rebinding.example.com"));';
    const answers = [await net.runOnHost([process.execPath, "-e", ask]), await net.runOnHost([process.execPath, "-e", ask])];
    expect(answers.map(({ stdout }) => stdout.match(/[\d.]{7,}/)?.[0])).toEqual(["93.184.216.34", "127.0.0.1"]);
  });

  test("an unknown name is asked, counted and not found", async () => {
    expect((await fetchOnHost("http://unknown.example.org/")).exitCode).not.toBe(0);
    expect((await net.seen()).questions.map(({ name }) => name)).toContain("unknown.example.org");
  });

  test("packets to a closed port are seen too", async () => {
    const before = (await net.seen()).packets.tcp;
    expect((await fetchOnHost("http://93.184.216.34:81/")).exitCode).not.toBe(0);
    expect((await net.seen()).packets.tcp).toBeGreaterThan(before);
  });

  test("idle, no packet is seen", async () => {
    const before = (await net.seen()).packets;
    await net.runOnHost(["/bin/true"]);
    expect((await net.seen()).packets).toEqual(before);
  });

  test("programs on the host get input, and give output and exit codes", async () => {
    const answer = await net.runOnHost(["/bin/sh", "-c", "cat; echo two >&2; exit 5"], { stdin: "one" });
    expect(answer).toEqual({ exitCode: 5, stdout: "one", stderr: "two\n" });
    const killed = await net.spawnOnHost(["/bin/sleep", "1000"]);
    await killed.kill("SIGKILL");
    expect((await killed.exited).exitCode).toBe(137);
  });

  test("orphans are seen and reaped", async () => {
    await net.runOnHost(["/bin/sh", "-c", "setsid /bin/sleep 86400 >/dev/null 2>&1 & exit 0"]);
    const orphan = (await net.processes()).find(({ commandLine }) => commandLine.includes("sleep 86400"));
    expect(orphan?.parent).toBe(1);
    await net.killOnHost(orphan!.pid, "SIGKILL");
    await eventually("its end", 5000, async () => {
      const left = (await net.processes()).some(({ commandLine }) => commandLine.includes("sleep 86400"));
      return left ? undefined : true;
    });
  });
});

describe.skipIf(missing !== undefined)("the end of a test internet", () => {
  test("takes every process and file with it, also when the test dies", async () => {
    const script = `
      const { openTestInternet } = require(${JSON.stringify(`${import.meta.dir}/open.ts`)});
      const net = await openTestInternet();
      await net.spawnOnHost(["/bin/sh", "-c", "exec setsid /bin/sleep 86431"]);
      console.log(net.directory);
      await new Promise(() => {});`;
    const child = Bun.spawn({ cmd: [process.execPath, "-e", script], stdout: "pipe", stderr: "inherit" });
    const reader = child.stdout.getReader();
    const directory = new TextDecoder().decode((await reader.read()).value).trim();
    expect(existsSync(directory)).toBe(true);
    child.kill("SIGKILL");
    await child.exited;
    await eventually("the end of everything", 10_000, async () => (existsSync(directory) || running("86431") ? undefined : true));
  });
});
