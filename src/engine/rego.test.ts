import { describe, expect, test } from "bun:test";
import { parsePolicyYaml } from "../policy/yaml.ts";
import { engineData } from "./engine-data.ts";
import { prepareGeneration } from "./generation.ts";
import { DECISION_PAGES, RegoInstance } from "./rego.ts";

const policy = parsePolicyYaml(
  `
version: 1
network_policies:
  b: {endpoints: [{host: a.example.com, port: 443}], binaries: [{path: /usr/bin/curl}]}
  a: {endpoints: [{host: "*.example.com", port: 443}, {host: a.example.com, port: 443}], binaries: [{path: "/usr/bin/*"}]}
`,
  { source: "test" },
);

const good = JSON.stringify({ host: "a.example.com", port: 443, exe: "/usr/bin/curl", ancestors: [], own: [] });
const live = () => prepareGeneration(policy, []).instance!;
const decide = (instance: RegoInstance, input = good) =>
  instance.evaluate("openshell/decision", input) as { allow: boolean; code?: string };

describe("every trap of rego in wasm has an answer", () => {
  test("the rules need no function of the host", () => {
    expect(() => new RegoInstance(DECISION_PAGES)).not.toThrow();
  });

  test("results come in order, whatever the hash order of objects", () => {
    expect(decide(live())).toEqual({
      allow: true,
      policy: "a",
      endpoints: [
        ["a", 0],
        ["a", 1],
        ["b", 0],
      ],
    } as never);
  });

  test.each([
    ["input that is no JSON", "{oops"],
    ["null", "null"],
    ["false", "false"],
    ["an empty object", "{}"],
    ["a list", "[]"],
    ["empty text", ""],
  ])("%s is never allowed", (_, input) => {
    let answer: unknown;
    try {
      answer = decide(live(), input);
    } catch {
      return;
    }
    expect(answer === undefined || (answer as { allow: boolean }).allow === false).toBe(true);
  });

  test.each([["{oops"], ["null"], ["false"], ["{}"], ["[]"], [""], ['{"endpoints":[["a",0]]}'], ['{"endpoints":[["x",0]],"request":{}}']])(
    "the request entry point allows nothing for %p",
    (input) => {
      let answer: unknown;
      try {
        answer = live().evaluate("openshell/request", input);
      } catch {
        return;
      }
      expect(answer === undefined || (answer as { action: string }).action === "deny").toBe(true);
    },
  );

  test("requests are refused without data or index", () => {
    const input = JSON.stringify({ endpoints: [["a", 0]], request: { kind: "http", method: "GET", path: "/", query: {}, upgrade: "" } });
    expect(live().evaluate("openshell/request", input)).toEqual({ action: "allow", endpoint: ["a", 0] });
    const bare = new RegoInstance(DECISION_PAGES);
    bare.setData(JSON.stringify(engineData(policy)));
    expect(bare.evaluate("openshell/request", input)).toEqual({ action: "deny", code: "engine_failure" });
  });

  test("a lone surrogate aborts with an error of ours, not a string", () => {
    expect(() => decide(live(), '{"host":"\\ud800"}')).toThrow(/policy rules aborted/);
  });

  test("data without index is refused", () => {
    const instance = new RegoInstance(DECISION_PAGES);
    instance.setData(JSON.stringify(engineData(policy)));
    expect(decide(instance)).toEqual({ allow: false, code: "engine_failure" });
  });

  test("an instance without data refuses", () => {
    let answer: unknown;
    try {
      answer = decide(new RegoInstance(DECISION_PAGES));
    } catch {
      return;
    }
    expect(answer).not.toMatchObject({ allow: true });
  });

  test("truncated data throws, and data is given once", () => {
    const text = JSON.stringify({ ...engineData(policy) });
    expect(() => new RegoInstance(DECISION_PAGES).setData(text.slice(0, -5))).toThrow("not JSON");
    const instance = new RegoInstance(DECISION_PAGES);
    instance.setData(text);
    expect(() => instance.setData(text)).toThrow("once");
  });

  test("memory has a maximum: too much data or input throws", () => {
    const wide = JSON.stringify({ policies: { x: "y".repeat(4_000_000) } });
    expect(() => new RegoInstance(32).setData(wide)).toThrow();
    const instance = new RegoInstance(32);
    instance.setData("{}");
    expect(() => instance.evaluate("openshell/decision", JSON.stringify({ host: "y".repeat(4_000_000) }))).toThrow();
  });

  test("an unknown entry point throws before the wasm sees it", () => {
    expect(() => live().evaluate("openshell/other" as never, "{}")).toThrow("no entry point");
  });

  test("memory stays flat", () => {
    const instance = live();
    decide(instance);
    const before = instance.pages;
    // `LONG_TESTS=1` runs 10⁶ evaluations.
    const rounds = process.env["LONG_TESTS"] ? 1_000_000 : 20_000;
    for (let i = 0; i < rounds; i++) decide(instance, i % 2 === 0 ? good : good.replace("curl", `p${i}`));
    expect(instance.pages).toBe(before);
  }, 1_800_000);
});
