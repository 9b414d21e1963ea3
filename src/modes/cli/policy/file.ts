import { readFileSync } from "node:fs";
import { OpenShellError } from "../../../error.ts";
import type { Policy } from "../../../policy/model.ts";

/** Standard input as a file name. */
const STDIN = "-";

/** Reads a file that a person named; every failure is wrong input (exit 2) and names the file. */
export function readInputFile(path: string): string {
  try {
    return readFileSync(path === STDIN ? 0 : path, "utf8");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const why =
      code === "ENOENT"
        ? "there is no such file"
        : code === "EISDIR"
          ? "it is a directory"
          : code === "EACCES"
            ? "permission denied"
            : code;
    throw new OpenShellError("invalid_argument", `cannot read ${path}: ${why}`, { cause });
  }
}

/**
 * Parses and validates a policy file as the gateway will; all violations at once, each with field and line.
 * @param accounts as `sandbox run` without a gateway will: `process` may name accounts of this host.
 */
export async function readPolicyFile(path: string, { accounts = false } = {}): Promise<Policy> {
  const text = readInputFile(path);
  const { parsePolicyYaml } = await import("../../../policy/yaml.ts");
  return parsePolicyYaml(text, { source: path, accounts });
}

/** The same as the message of the API. */
export async function readPolicyProto(path: string) {
  const policy = await readPolicyFile(path);
  const { policyToProto } = await import("../../../policy/proto.ts");
  return policyToProto(policy);
}
