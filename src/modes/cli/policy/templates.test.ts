import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCli } from "../gateway.fixture.ts";
import { packageIndex } from "./indexes.ts";
import { listTemplates, templatePolicy } from "./templates.ts";

const env = {
  PATH: "/nowhere",
  npm_config_registry: "https://npm.example.test:8443/path/",
  PIP_INDEX_URL: "https://pip.example.test/simple",
};

test("every template is a valid policy with the person's own indexes, and alone in naming no pattern host", () => {
  for (const { name, description } of listTemplates()) {
    expect(description).not.toBe("");
    const { networkPolicies } = templatePolicy(name, env);
    for (const { endpoints } of Object.values(networkPolicies)) for (const { host } of endpoints) expect(host).not.toMatch(/[{}*]/);
  }
});

test("templates combine, and a mirror is one endpoint", () => {
  const { networkPolicies } = templatePolicy("python-dev,node-dev", env);
  expect(networkPolicies["node_packages"]?.endpoints.map(({ host, ports }) => [host, ports])).toEqual([["npm.example.test", [8443]]]);
  expect(networkPolicies["python_packages"]?.endpoints.map(({ host, ports }) => [host, ports])).toEqual([["pip.example.test", [443]]]);
  expect(Object.keys(templatePolicy("agent-coding", env).networkPolicies)).toEqual(
    expect.arrayContaining(["claude_code", "node_packages", "github_fetch"]),
  );
  expect(() => templatePolicy("nothing", env)).toThrow("there are agent-coding, node-dev, python-dev");
});

test("indexes come from files of the person, never from the working directory; without any the next step is told", () => {
  const home = mkdtempSync(join(tmpdir(), "indexes-"));
  try {
    writeFileSync(join(home, ".npmrc"), "fund=false\nregistry=https://mine.example.test/\n");
    expect(packageIndex("npm-registry", { HOME: home, PATH: "/nowhere" })).toEqual({ host: "mine.example.test", port: 443 });
    expect(() => packageIndex("python-index", { HOME: home, PATH: "/nowhere", PIP_CONFIG_FILE: "/dev/null" })).not.toThrow(TypeError);
    rmSync(join(home, ".npmrc"));
    expect(() => packageIndex("npm-registry", { HOME: home, PATH: "/nowhere" })).toThrow("no configuration of npm names it");
  } finally {
    rmSync(home, { recursive: true });
  }
});

test("the commands", async () => {
  const home = mkdtempSync(join(tmpdir(), "templates-"));
  try {
    expect((await runCli(["policy", "templates"], home)).out).toContain("node-dev");
    const shown = await runCli(["policy", "show-template", "node-dev"], home, { env });
    expect(shown.out).toContain("host: npm.example.test");
    expect((await runCli(["policy", "show-template", "x"], home)).code).toBe(2);
  } finally {
    rmSync(home, { recursive: true });
  }
});
