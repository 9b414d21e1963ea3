import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { CreateSandboxRequestSchema, ExecSandboxRequestSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { checkSandboxName } from "../../../sandbox-name.ts";
import { allocateUid, checkSubordinate } from "../drivers/local/uids.ts";
import { checkHostPaths } from "./host-paths.ts";
import { checkedTime } from "./limits.ts";
import { petname } from "./names.ts";
import { validateExec } from "./validate-exec.ts";
import { validateCreate } from "./validate-spec.ts";

describe("what a request may hold", () => {
  const refusals: [name: string, spec: object, message: string][] = [
    [
      "too many variables",
      { environment: Object.fromEntries(Array.from({ length: 129 }, (_, i) => [`V${i}`, ""])) },
      "129 entries, at most 128",
    ],
    ["long value", { environment: { A: "x".repeat(8193) } }, "8193 characters, at most 8192"],
    ["reserved variable", { environment: { OPENSHELL_X: "" } }, "reserved"],
    ["bad variable", { environment: { "A-B": "" } }, "not a variable name"],
    ["NUL in a variable", { environment: { A: "\0" } }, "NUL"],
    ["too many arguments", { command: Array.from({ length: 257 }, () => "a") }, "257 arguments, at most 256"],
    ["image", { template: { image: "debian" } }, "container drivers"],
    ["bad CIDR", { trustedCidrs: ["10.0.0.0/33"] }, "0..32"],
    ["bad domain", { internalDomains: ["a..b"] }, "not a domain name"],
    ["unknown restart policy", { restartPolicy: 99 }, "99 is not known"],
    ["long log level", { logLevel: "x".repeat(33) }, "33 characters, at most 32"],
  ];
  for (const [name, spec, message] of refusals) {
    test(name, () => expect(() => validateCreate(create(CreateSandboxRequestSchema, { spec: spec as never }))).toThrow(message));
  }
  test("a spec is required, an empty one is enough", () => {
    expect(() => validateCreate(create(CreateSandboxRequestSchema))).toThrow("spec");
    expect(validateCreate(create(CreateSandboxRequestSchema, { spec: {} }))).toBeDefined();
  });
  test("a time is one of the years 1 to 9999", () => {
    for (const seconds of [-62_135_596_801n, 253_402_300_800n, 2n ** 63n - 1n])
      expect(() => checkedTime("at", create(TimestampSchema, { seconds }))).toThrow("at: is not a time");
    expect(checkedTime("at", create(TimestampSchema, { seconds: 253_402_300_799n }))).toBe(253_402_300_799_000);
  });
  test("labels are label-shaped", () => {
    expect(() => validateCreate(create(CreateSandboxRequestSchema, { spec: {}, labels: { "a b": "c" } }))).toThrow("label key");
    expect(() => validateCreate(create(CreateSandboxRequestSchema, { spec: {}, labels: { "example.com/team": "a_b.c" } }))).not.toThrow();
  });
});

describe("exec", () => {
  const exec = (init: object) => validateExec(create(ExecSandboxRequestSchema, { command: ["x"], ...init }));
  test("newlines in arguments and OPENSHELL_ variables are fine", () => {
    expect(() => exec({ command: ["sh", "-c", "a\nb"], environment: { OPENSHELL_PYFUNC_B64: "x".repeat(100_000) } })).not.toThrow();
  });
  test("limits name both numbers", () => {
    expect(() => exec({ command: [] })).toThrow("command");
    expect(() => exec({ command: ["x", "y".repeat(32_769)] })).toThrow("32769 bytes, at most 32768");
    expect(() => exec({ environment: Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`V${i}`, "x".repeat(120_000)])) })).toThrow(
      "1048576",
    );
    expect(() => exec({ workdir: "relative" })).toThrow("absolute");
  });
});

describe("names", () => {
  test("63 characters are a name, 64 are not; words of the command line are not", () => {
    expect(() => checkSandboxName("a".repeat(63))).not.toThrow();
    expect(() => checkSandboxName("a".repeat(64))).toThrow("64 characters, at most 63");
    expect(() => checkSandboxName("draft")).not.toThrow();
    expect(() => checkSandboxName("history")).toThrow("word of the command line");
    for (const bad of ["-a", "a-", "a--b", "A", "a.b", "a_b", ""]) expect(() => checkSandboxName(bad)).toThrow();
  });
  test("a generated name is free and valid", () => {
    const taken = new Set<string>();
    for (let i = 0; i < 3000; i++) {
      const name = petname((n) => taken.has(n));
      checkSandboxName(name);
      expect(taken.has(name)).toBe(false);
      taken.add(name);
    }
  });
});

describe("user ids", () => {
  const range = { first: 100, last: 102 };
  test("the lowest free one, until none is left", () => {
    expect(allocateUid(range, new Set([100, 102]))).toBe(101);
    expect(() => allocateUid(range, new Set([100, 101, 102]))).toThrow("all 3 user ids");
  });
  test("a range that meets /etc/subuid is refused", () => {
    expect(() => checkSubordinate(range, "user:102:10\n")).toThrow("/etc/subuid");
    expect(() => checkSubordinate(range, "user:103:10\nother:50:50\n\n")).not.toThrow();
  });
});

describe("paths of the host", () => {
  const policy = (readOnly: string[]) => ({
    version: 1,
    networkPolicies: {},
    filesystem: { includeWorkdir: true, readOnly, readWrite: [] },
  });
  test("the default view is open, the rest is the operator's to allow", () => {
    expect(() => checkHostPaths([], [], policy(["/usr/lib", "/etc", "/proc"]))).not.toThrow();
    expect(() => checkHostPaths([], [], policy(["/home/me"]))).toThrow("--allow-mount /home/me");
    expect(() => checkHostPaths(["/home/me"], [], policy(["/home/me/x"]))).not.toThrow();
    expect(() => checkHostPaths(["/home/me"], [], policy(["/home/mean"]))).toThrow("--allow-mount");
    expect(() => checkHostPaths([], [], policy(["/usr/../root"]))).toThrow("--allow-mount");
  });
  test("a symlink under an allowed prefix opens nothing else", () => {
    const directory = mkdtempSync("/var/tmp/paths-");
    try {
      symlinkSync("/root", join(directory, "link"));
      expect(() => checkHostPaths([directory], [], policy([join(directory, "link")]))).toThrow("--allow-mount");
      expect(() => checkHostPaths([directory], [], policy([directory]))).not.toThrow();
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
