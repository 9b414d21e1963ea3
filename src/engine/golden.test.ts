import { expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OpenShellError } from "../error.ts";
import { canonicalJson } from "../policy/hash.ts";
import { policyFromProto, policyToProto } from "../policy/proto.ts";
import { policyWarnings } from "../policy/warnings.ts";
import { formatPolicyYaml, parsePolicyYaml } from "../policy/yaml.ts";
import { engineData } from "./engine-data.ts";
import { PolicyEngine } from "./policy-engine.ts";

/**
 * One file is one case: a policy as written, a line `=== ok` or `=== violations`, and what is expected of it. An accepted policy shows its formatted
 * form, its warnings and what the rules see; a refused one every violation. `UPDATE_GOLDEN=1` writes the expectations; read the difference.
 */
const FOLDER = join(import.meta.dir, "../../test/fixtures/policy");
const SEPARATOR = /^=== /m;

for (const name of readdirSync(FOLDER).sort()) {
  test(name, () => {
    const path = join(FOLDER, name);
    const text = readFileSync(path, "utf8");
    const input = text.split(SEPARATOR)[0] ?? "";
    const actual = input + describe(input);
    if (process.env["UPDATE_GOLDEN"]) writeFileSync(path, actual);
    else expect(actual).toBe(text);
  });
}

function describe(input: string): string {
  try {
    const policy = parsePolicyYaml(input, { source: "policy.yaml" });
    const formatted = formatPolicyYaml(policy);
    // case-10: YAML and protobuf both give the same policy back.
    expect(canonicalJson(parsePolicyYaml(formatted, { source: "formatted" }))).toBe(canonicalJson(policy));
    expect(formatPolicyYaml(parsePolicyYaml(formatted, { source: "formatted" }))).toBe(formatted);
    expect(policyFromProto(policyToProto(policy))).toEqual(policy);
    new PolicyEngine().load(policy);
    const warnings = policyWarnings(policy).map(({ field, message }) => `${field}: ${message}\n`);
    const { policies } = engineData(policy);
    const rules = Object.entries(policies).map(([key, rule]) => `${key} ${JSON.stringify(rule)}\n`);
    return `=== ok\n${formatted}=== warnings\n${warnings.join("")}=== engine\n${rules.join("")}`;
  } catch (error) {
    if (!(error instanceof OpenShellError) || error.violations.length === 0) throw error;
    const lines = error.violations.map(({ field, message, line, column }) => `${line}:${column} ${field}: ${message}\n`);
    return `=== violations\n${lines.join("")}`;
  }
}
