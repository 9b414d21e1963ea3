import { expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parsePolicyYaml } from "../policy/yaml.ts";
import type { RequestFacts } from "./decision.ts";
import { PolicyEngine } from "./policy-engine.ts";

/**
 * One file is one policy as written, a line `=== requests`, and requests of /usr/bin/curl as `METHOD host/path?query`, each with its answer (cases 56
 * to 66 of the acceptance list). `UPDATE_GOLDEN=1` writes the answers; read the difference.
 */
const FOLDER = join(import.meta.dir, "../../test/fixtures/requests");

for (const name of readdirSync(FOLDER).sort()) {
  test(name, () => {
    const path = join(FOLDER, name);
    const text = readFileSync(path, "utf8");
    const [yaml = "", requests = ""] = text.split("=== requests\n");
    const engine = new PolicyEngine();
    engine.load(parsePolicyYaml(yaml, { source: name }));
    const lines = requests.trimEnd().split("\n");
    const actual = `${yaml}=== requests\n${lines.map((line) => `${answered(engine, line.split(" -> ")[0] ?? "")}\n`).join("")}`;
    if (process.env["UPDATE_GOLDEN"]) writeFileSync(path, actual);
    else expect(actual).toBe(text);
  });
}

function answered(engine: PolicyEngine, line: string): string {
  const [method = "", target = ""] = line.split(" ");
  const slash = target.indexOf("/");
  const [path = "", search = ""] = target.slice(slash).split("?");
  const query: Record<string, string[]> = {};
  for (const [key, value] of new URLSearchParams(search)) query[key] = [...(query[key] ?? []), value];
  const upgrade = method === "UPGRADE";
  const request: RequestFacts = { kind: "http", method: upgrade ? "GET" : method, path, query, upgrade: upgrade ? "websocket" : "" };
  const answer = engine.decideRequest({ host: target.slice(0, slash), port: 443, exe: "/usr/bin/curl", ancestors: [], request });
  return `${line} -> ${[answer.action, answer.endpointId, answer.reason].filter(Boolean).join(" | ")}`;
}
