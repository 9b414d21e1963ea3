import { defineCommand } from "../../../command/define.ts";
import { printable, printableSentence } from "../../../command/printable.ts";
import { readPolicyFile } from "./file.ts";

export default defineCommand({
  meta: {
    name: "validate",
    description:
      "Check a policy file; needs no gateway. Every mistake is told with field and line, exit code 2; what a gateway would refuse is a warning",
    examples: ["openshell policy validate policy.yaml", "cat policy.yaml | openshell policy validate -"],
  },
  args: { file: { type: "positional", valueHint: "FILE", description: "Policy YAML; - is standard input" } },
  run: async ({ args, terminal }) => {
    const policy = await readPolicyFile(args.file, { accounts: true });
    const { policyWarnings } = await import("../../../policy/warnings.ts");
    const { gatewayWarnings } = await import("../../../policy/gateway-warnings.ts");
    for (const { field, message } of [...policyWarnings(policy), ...gatewayWarnings(policy)]) {
      terminal.err(`${terminal.errorStyle.yellow("Warning:")} ${printable(field)}: ${printableSentence(message)}\n`);
    }
    const { policyHash } = await import("../../../policy/hash.ts");
    const rules = Object.keys(policy.networkPolicies).length;
    terminal.out(
      `${terminal.style.green("✓")} ${printable(args.file)} is valid: ${rules} network ${rules === 1 ? "rule" : "rules"}, hash ${policyHash(policy)}\n`,
    );
    return undefined;
  },
});
