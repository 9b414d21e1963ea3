/** Approvals that end by themselves, with the compiled binary on real sockets. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Installation, missingBinary } from "../e2e/installation.ts";
import { allowed } from "../e2e/programs.ts";
import { eventually } from "../eventually.ts";
import { missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";

const missing = missingForTestInternet() ?? missingBinary();
if (missing !== undefined) console.log(`skipped: approvals that end: ${missing}`);

const POLICY = `version: 1
filesystem_policy:
  include_workdir: true
  read_only: [/usr, /lib, /proc, /dev/urandom, /etc, /var/log]
  read_write: [/sandbox, /tmp, /dev/null]
landlock: { compatibility: best_effort }
network_policies: {}
`;

/** A proposal takes up to ten seconds to be submitted behind another; a slow machine needs its time too. Milliseconds. */
const WITHIN_MS = 60_000;
/** For everything in one test. Milliseconds. */
const TEST_MS = 240_000;

interface Shown {
  readonly chunks: readonly { readonly id: string; readonly status: string; readonly lifetime: string }[];
}

describe.skipIf(missing !== undefined)("approvals that end", () => {
  let net: TestInternet;
  let shell: Installation;

  beforeAll(async () => {
    net = await openTestInternet();
    shell = new Installation(net);
    await shell.startGateway();
    await shell.create("box", POLICY);
  });
  afterAll(async () => {
    await shell?.[Symbol.asyncDispose]();
    await net?.[Symbol.asyncDispose]();
  });

  async function passes(url: string): Promise<boolean> {
    return (await shell.exec("box", ...allowed.fetch(url))).exitCode === 0;
  }

  function statusOf(id: string): Promise<string | undefined> {
    return shell.json<Shown>("sandbox", "draft", "box", "--chunks").then(({ chunks }) => chunks.find((chunk) => chunk.id === id)?.status);
  }

  async function approved(host: string, url: string, ...flags: string[]): Promise<string> {
    expect(await passes(url)).toBe(false);
    const { port, protocol } = new URL(url);
    const { id } = await shell.waitForDraft("box", `${host}:${port || (protocol === "https:" ? 443 : 80)}`, WITHIN_MS);
    await shell.must("sandbox", "draft", "approve", "box", id, "--yes", "--wait", ...flags);
    return id;
  }

  test(
    "--once: one request passes, the next does not, and the approval is over",
    async () => {
      const id = await approved("cdn.example.net", "http://cdn.example.net/file", "--once");
      expect(await passes("http://cdn.example.net/file")).toBe(true);
      expect(await passes("http://cdn.example.net/file")).toBe(false);
      await eventually("the approval to end", WITHIN_MS, async () => ((await statusOf(id)) === "expired" ? true : undefined));
      expect(await shell.must("policy", "get", "box")).not.toContain("cdn.example.net");
      // One more denial is news: what was reported before the approval does not count.
      expect(await passes("http://cdn.example.net/file")).toBe(false);
      const again = await shell.waitForDraft("box", "cdn.example.net:80", WITHIN_MS);
      expect(again.id).not.toBe(id);
      await shell.must("sandbox", "draft", "reject", "box", again.id);
      expect(await shell.must("sandbox", "draft", "history", "box")).toContain("its one request was allowed");
      // Lines come in batches.
      await eventually("the line in the log", WITHIN_MS, async () =>
        (await shell.must("logs", "box")).includes("has allowed its one request") ? true : undefined,
      );
    },
    TEST_MS,
  );

  test(
    "--once over TLS that is ended here: the same",
    async () => {
      if (allowed.name !== "curl") return;
      await approved("other.example.com", "https://other.example.com/", "--once");
      // Two requests on one connection: the second finds no rule.
      const twice = await shell.exec(
        "box",
        allowed.path,
        "-sS",
        "-o",
        "/dev/null",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} ",
        "https://other.example.com/a",
        "https://other.example.com/b",
      );
      expect(twice.stdout.trim().split(" ")).toEqual(["200", expect.stringMatching(/^(403|000)$/)]);
      expect(await passes("https://other.example.com/")).toBe(false);
    },
    TEST_MS,
  );

  test(
    "--once is counted where it passes: of many at the same time, one arrives",
    async () => {
      await approved("api.example.com", "http://api.example.com/race", "--once");
      const asked = async () => (await net.seen()).questions.length;
      const before = await asked();
      const script = `for i in 1 2 3 4 5 6 7 8; do ${allowed
        .fetch("http://api.example.com/race")
        .map((word) => `'${word}'`)
        .join(" ")} >/dev/null 2>&1 && echo passed & done; wait`;
      const { stdout } = await shell.exec("box", "/bin/sh", "-c", script);
      expect(stdout.match(/passed/g)).toHaveLength(1);
      expect(await asked()).toBeGreaterThanOrEqual(before);
    },
    TEST_MS,
  );

  test(
    "--once: the answer arrives whole, long after the rule is gone",
    async () => {
      if (allowed.name !== "curl") return;
      for (const [host, origin] of [
        ["other.example.com", "http://other.example.com"],
        ["cdn.example.net", "https://cdn.example.net"],
      ] as const) {
        const id = await approved(host, `${origin}/`, "--once");
        // Three seconds of a slow reader: the gateway has taken the rule out of the policy and pushed that by then.
        const slow = ["-sS", "--limit-rate", "1M", "-o", "/dev/null", "-w", "%{size_download}", `${origin}/bytes/3000000`];
        const running = shell.exec("box", allowed.path, ...slow);
        await eventually("the approval to end", WITHIN_MS, async () => ((await statusOf(id)) === "expired" ? true : undefined));
        expect(await running).toMatchObject({ exitCode: 0, stdout: "3000000" });
      }
    },
    TEST_MS,
  );

  test(
    "--session: lasts until the sandbox stops, and no longer",
    async () => {
      const id = await approved("cdn.example.net", "http://cdn.example.net:8000/", "--session");
      expect(await statusOf(id)).toBe("approved");
      expect(await shell.must("policy", "get", "box")).toContain("cdn.example.net");
      await shell.must("sandbox", "stop", "box");
      expect(await statusOf(id)).toBe("expired");
      await shell.must("sandbox", "start", "box");
      await eventually("the sandbox to be ready", 30_000, async () => {
        const { phase } = await shell.json<{ phase: string }>("sandbox", "get", "box");
        return phase === "Ready" ? true : undefined;
      });
      expect(await shell.must("policy", "get", "box")).not.toContain("cdn.example.net");
      expect(await passes("http://cdn.example.net:8000/")).toBe(false);
    },
    TEST_MS,
  );

  test("--once with --session, or with --all, is a mistake", async () => {
    for (const flags of [
      ["0000", "--once", "--session"],
      ["--all", "--once", "--yes"],
    ]) {
      expect(await shell.cli(["sandbox", "draft", "approve", "box", ...flags])).toMatchObject({ exitCode: 2 });
    }
  });
});
