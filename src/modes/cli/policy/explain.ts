import { defineCommand } from "../../../command/define.ts";
import { asciiJson } from "../../../command/output.ts";
import { printableSentence } from "../../../command/printable.ts";
import { EXIT_ERROR, EXIT_OK } from "../../../command/report.ts";
import type { RequestFacts } from "../../../engine/decision.ts";
import { readPolicyFile } from "./file.ts";

export default defineCommand({
  meta: {
    name: "explain",
    description:
      "Say whether a program may connect, or make a request, under a policy file, by which rule, or what is missing (exit code 1)",
    examples: [
      "openshell policy explain policy.yaml --binary /usr/bin/curl --host api.example.com --port 443",
      "openshell policy explain policy.yaml --binary /usr/bin/curl --host api.example.com --port 443 --method POST --path '/v1/items?dry_run=1'",
    ],
  },
  args: {
    file: { type: "positional", valueHint: "FILE", description: "Policy YAML; - is standard input" },
    binary: { type: "string", required: true, valueHint: "PATH", description: "Executable that connects" },
    ancestor: { type: "string", multiple: true, valueHint: "PATH", description: "Executable of a parent process, nearest first" },
    host: { type: "string", required: true, valueHint: "HOST", description: "Name or address" },
    port: { type: "string", required: true, integer: { min: 1, max: 65535 }, valueHint: "PORT", description: "TCP port" },
    method: { type: "string", valueHint: "METHOD", description: "HTTP method of a request; WEBSOCKET_TEXT for a message" },
    path: { type: "string", valueHint: "PATH", description: "Path of a request, with its query" },
    output: { type: "enum", alias: "o", options: ["table", "json"], default: "table", description: "Sentences, or JSON" },
  },
  run: async ({ args, terminal }) => {
    const policy = await readPolicyFile(args.file, { accounts: true });
    const host = args.host
      .toLowerCase()
      .replace(/\.$/, "")
      .replace(/^\[(.*)\]$/, "$1");
    const connection = { host, port: args.port, exe: args.binary, ancestors: args.ancestor };
    const { lines, passes, json } =
      args.method === undefined && args.path === undefined
        ? await aboutConnection()
        : await aboutRequest(requestFacts(args.method ?? "GET", args.path ?? "/"));
    if (args.output === "json") terminal.out(`${asciiJson(json, 2)}\n`);
    else {
      const paint = passes ? terminal.style.green : terminal.style.red;
      terminal.out(lines.map((line, i) => (i === 0 ? `${paint(printableSentence(line))}\n` : `  ${printableSentence(line)}\n`)).join(""));
    }
    return passes ? EXIT_OK : EXIT_ERROR;

    async function aboutConnection() {
      const { explainConnection } = await import("../../../engine/explain.ts");
      const { decision, via, missing, lines } = explainConnection(policy, connection);
      const matched = decision.allowed
        ? { policy: decision.policy, endpoints: decision.endpoints.map(({ id }) => id) }
        : { code: decision.code };
      const json = { allowed: decision.allowed, ...matched, via: via ?? null, missing: missing ?? null, lines };
      return { lines, passes: decision.allowed, json };
    }

    async function aboutRequest(request: RequestFacts) {
      const { explainRequest } = await import("../../../engine/explain-request.ts");
      const { connection: found, request: answer, lines } = explainRequest(policy, { ...connection, request });
      const { decision, via, missing } = found;
      const action = answer?.action ?? "deny";
      const matched = decision.allowed
        ? { policy: answer?.policy ?? decision.policy, endpoint: answer?.endpointId ?? null, code: answer?.code ?? null }
        : { code: decision.code };
      const about = { via: via ?? null, missing: missing ?? null, rule_missing: answer?.ruleMissing ?? null };
      return { lines, passes: action !== "deny", json: { allowed: action === "allow", action, ...matched, ...about, lines } };
    }
  },
});

function requestFacts(method: string, target: string): RequestFacts {
  const [path = "", ...rest] = target.split("?");
  const query: Record<string, string[]> = Object.create(null);
  for (const [name, value] of new URLSearchParams(rest.join("?"))) {
    const values = query[name] ?? [];
    query[name] = [...values, value];
  }
  if (method.toUpperCase() === "WEBSOCKET_TEXT") return { kind: "websocket_text", path, query };
  return { kind: "http", method, path, query, upgrade: "" };
}
