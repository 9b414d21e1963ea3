import { describe, expect, test } from "bun:test";
import { OneTimeRules, rulesOf } from "./one-time-rules.ts";

const policy = { version: 1, networkPolicies: { a: rule("a"), b: rule("b") } };

function rule(name: string) {
  return { name, endpoints: [], binaries: [] };
}

describe("rules for one request", () => {
  test("are withdrawn with their request, and stay away when the same grant comes again", () => {
    const withdrawn: string[] = [];
    const rules = new OneTimeRules((key, grant) => withdrawn.push(`${key} ${grant}`));
    rules.admit([{ rule: "a", grantId: "g1" }]);
    expect(rules.use(["a"])).toBe("used");
    expect(rules.use(["a"])).toBe("gone");
    expect(withdrawn).toEqual(["a g1"]);
    const again = [{ rule: "a", grantId: "g1" }];
    expect(Object.keys(rules.without(policy, again).networkPolicies)).toEqual(["b"]);
    rules.admit(again);
    expect(rules.use(["a"])).toBe("lasting");
  });
  test("another approval of the same rule is another request", () => {
    const rules = new OneTimeRules(() => {});
    rules.admit([{ rule: "a", grantId: "g1" }]);
    rules.use(["a"]);
    const next = [{ rule: "a", grantId: "g2" }];
    expect(Object.keys(rules.without(policy, next).networkPolicies)).toEqual(["a", "b"]);
    rules.admit(next);
    expect(rules.use(["a"])).toBe("used");
  });
  test("what a lasting rule allows too uses nothing up", () => {
    const rules = new OneTimeRules(() => {
      throw new Error("withdrawn");
    });
    rules.admit([{ rule: "a", grantId: "g1" }]);
    expect(rules.use(["a", "b"])).toBe("lasting");
    expect(rules.use([])).toBe("lasting");
  });
  test("one of two is used", () => {
    const withdrawn: string[] = [];
    const rules = new OneTimeRules((key) => withdrawn.push(key));
    rules.admit([
      { rule: "a", grantId: "g1" },
      { rule: "b", grantId: "g2" },
    ]);
    expect(rules.use(["a", "b"])).toBe("used");
    expect(withdrawn).toEqual(["a"]);
    expect(rules.use(["a", "b"])).toBe("used");
    expect(rules.use(["a", "b"])).toBe("gone");
  });
  test("a rule that cannot be withdrawn is not used", () => {
    const rules = new OneTimeRules(() => {
      throw new Error("no memory");
    });
    rules.admit([{ rule: "a", grantId: "g1" }]);
    expect(() => rules.use(["a"])).toThrow("no memory");
  });
  test("keys may hold slashes", () => {
    expect(rulesOf([{ id: "a/b/0" }, { id: "a/b/1" }, { id: "c/0" }])).toEqual(["a/b", "c"]);
  });
});
