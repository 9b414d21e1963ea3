import { expect, test } from "bun:test";
import type { GatewayContext } from "../context.ts";
import { afterRejection } from "./backoff.ts";
import type { DraftContext } from "./context.ts";
import { denial, Gateway, plain } from "./drafts.test-support.ts";
import { inCatalogue, isInterpreter, isTransferTool } from "./known.ts";
import { parseDuration } from "./settings.ts";
import { mayFollow, transitions } from "./state.ts";

test("the gateway's context is what the draft service needs", () => {
  const fits = (context: GatewayContext): DraftContext => context;
  expect(fits).toBeFunction();
});

const flags: [string, Parameters<typeof plain>, string][] = [
  ["a private address", ["10.1.2.3"], "private_address"],
  ["an interpreter", ["api.example.test", { binary: "/usr/bin/python3.12" }], "interpreter"],
  ["a program the agent can write", ["api.example.test", { binary: "/sandbox/tool" }], "writable_binary"],
  ["a program in /tmp", ["api.example.test", { binary: "/tmp/curl" }], "writable_binary"],
  ["a database port", ["db.example.test", { port: 5432 }], "database_port"],
  ["an administration port", ["db.example.test", { port: 22 }], "admin_port"],
  ["a port of no service", ["db.example.test", { port: 50_000 }], "ephemeral_port"],
  ["a paste host", ["pastebin.com"], "exfiltration_host"],
  ["a tunnel below a known one", ["x.ngrok-free.app"], "exfiltration_host"],
  ["a name of the host", ["host.docker.internal"], "private_address"],
  ["write access", ["api.example.test"], "write_access"],
  ["one burst", ["api.example.test"], "single_burst"],
];

for (const [name, args, code] of flags) {
  test(`flagged: ${name}`, async () => {
    const gateway = new Gateway();
    const chunk = await gateway.chunk(await gateway.propose(plain(...args)));
    const flag = chunk.flags.find((each) => each.code === code);
    expect(flag?.sentence).toBeString();
    expect(chunk.securityNotes).toContain(flag?.sentence ?? "missing");
  });
}

test("a second burst takes the note away", async () => {
  const gateway = new Gateway();
  const id = await gateway.propose(plain("api.example.test"), { summaries: [denial("api.example.test")] });
  gateway.now += 120_000;
  await gateway.submit([], { summaries: [denial("api.example.test")] });
  expect((await gateway.chunk(id)).flags.map(({ code }) => code)).not.toContain("single_burst");
});

test("confidence is computed here; what the sandbox claims counts for a model only, and is clamped", async () => {
  const confidence = async (fields: object, more: object = {}): Promise<number> => {
    const gateway = new Gateway();
    return (
      Math.round(
        (await gateway.chunk(await gateway.propose({ ...plain("api.example.test"), confidence: 1, ...fields }, more))).confidence * 100,
      ) / 100
    );
  };
  const binary = (path: string): object => ({
    proposedRule: { endpoints: [{ host: "api.example.test", port: 443 }], binaries: [{ path }] },
  });
  expect(await confidence(binary("/usr/bin/tool"))).toBe(0.5);
  expect(await confidence({ ...binary("/usr/bin/tool"), hitCount: 3 })).toBe(0.6);
  expect(await confidence({ ...binary("/usr/bin/tool"), hitCount: 10 })).toBe(0.7);
  expect(await confidence(binary("/usr/bin/git"))).toBe(0.65);
  expect(await confidence(binary("/usr/bin/curl"))).toBe(0.4);
  const ssrf = { summaries: [denial("api.example.test", { denialStage: "ssrf", binary: "/usr/bin/tool" })] };
  expect(await confidence(binary("/usr/bin/tool"), ssrf)).toBe(0.3);
  expect(await confidence({ confidence: 7 }, { analysisMode: "model", summaries: [denial("api.example.test")] })).toBe(0.95);
  expect(await confidence({ confidence: Number.NaN }, { analysisMode: "model", summaries: [denial("api.example.test")] })).toBe(0.05);
});

test("times of a sandbox are clamped to the gateway's clock", async () => {
  const gateway = new Gateway();
  const future = { seconds: 9_999_999_999n, nanos: 0 };
  const id = await gateway.propose(plain("api.example.test", { lastSeenTime: future, firstSeenTime: future }));
  expect(Number((await gateway.chunk(id)).lastSeenTime?.seconds)).toBe(gateway.now / 1000);
});

test("the back-off grows to a day and stays there", () => {
  const hours = [];
  for (let i = 0, state = afterRejection(undefined, 0, ""); i < 6; i++, state = afterRejection(state, 0, ""))
    hours.push(state.refusedUntil / 3_600_000);
  expect(hours).toEqual([0, 1, 4, 24, 24, 24]);
});

test("only the transitions of the diagram are legal", () => {
  const legal = Object.entries(transitions).flatMap(([from, to]) => to.map((each) => `${from}>${each}`));
  expect(legal.sort()).toEqual(
    [
      // Approvals for one request or one session end by themselves.
      "approved>expired",
      "approved>pending",
      "approved>superseded",
      "pending>approved",
      "pending>expired",
      "pending>rejected",
      "pending>superseded",
      "rejected>pending",
      "rejected>superseded",
    ].sort(),
  );
  expect(mayFollow("expired", "pending")).toBe(false);
});

test("programs are known with and without their version", () => {
  expect([isInterpreter("/usr/bin/python3.12"), isInterpreter("/usr/bin/perl5.36.0"), isInterpreter("/usr/bin/git")]).toEqual([
    true,
    true,
    false,
  ]);
  expect([isTransferTool("/usr/bin/curl"), isTransferTool("/usr/bin/cargo")]).toEqual([true, false]);
  expect([inCatalogue("/usr/bin/git", 443), inCatalogue("/usr/bin/git", 80)]).toEqual([true, false]);
});

test("durations", () => {
  expect([parseDuration("1h30m"), parseDuration("90s"), parseDuration("2d"), parseDuration("1 h"), parseDuration("")]).toEqual([
    5_400_000,
    90_000,
    172_800_000,
    undefined,
    undefined,
  ]);
});
