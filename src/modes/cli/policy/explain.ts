import { defineCommand } from "../../../command/define.ts";
import { asciiJson } from "../../../command/output.ts";
import { printableSentence } from "../../../command/printable.ts";
import { EXIT_ERROR, EXIT_OK } from "../../../command/report.ts";
import { readPolicyFile } from "./file.ts";

export default defineCommand({
  meta: {
    name: "explain",
    description: "Say whether a program may connect under a policy file, by which rule, or what is missing (exit code 1)",
    examples: ["openshell policy explain policy.yaml --binary /usr/bin/curl --host api.example.com --port 443"],
  },
  args: {
    file: { type: "positional", valueHint: "FILE", description: "Policy YAML; - is standard input" },
    binary: { type: "string", required: true, valueHint: "PATH", description: "Executable that connects" },
    ancestor: { type: "string", multiple: true, valueHint: "PATH", description: "Executable of a parent process, nearest first" },
    host: { type: "string", required: true, valueHint: "HOST", description: "Name or address" },
    port: { type: "string", required: true, integer: { min: 1, max: 65535 }, valueHint: "PORT", description: "TCP port" },
    output: { type: "enum", alias: "o", options: ["table", "json"], default: "table", description: "Sentences, or JSON" },
  },
  run: async ({ args, terminal }) => {
    const policy = await readPolicyFile(args.file);
    const { explainConnection } = await import("../../../engine/explain.ts");
    const host = args.host
      .toLowerCase()
      .replace(/\.$/, "")
      .replace(/^\[(.*)\]$/, "$1");
    const explanation = explainConnection(policy, { host, port: args.port, exe: args.binary, ancestors: args.ancestor });
    const { decision, via, missing, lines } = explanation;
    if (args.output === "json") {
      const matched = decision.allowed
        ? { policy: decision.policy, endpoints: decision.endpoints.map(({ id }) => id) }
        : { code: decision.code };
      terminal.out(`${asciiJson({ allowed: decision.allowed, ...matched, via: via ?? null, missing: missing ?? null, lines }, 2)}\n`);
    } else {
      const paint = decision.allowed ? terminal.style.green : terminal.style.red;
      terminal.out(lines.map((line, i) => (i === 0 ? `${paint(printableSentence(line))}\n` : `  ${printableSentence(line)}\n`)).join(""));
    }
    return decision.allowed ? EXIT_OK : EXIT_ERROR;
  },
});
