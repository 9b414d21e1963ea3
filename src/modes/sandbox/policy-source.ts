import { lstatSync, readFileSync, realpathSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { OpenShellError } from "../../error.ts";
import { restrictiveDefault } from "../../policy/defaults.ts";
import type { Policy } from "../../policy/model.ts";
import { validatePolicy } from "../../policy/validate.ts";
import { parsePolicyYaml } from "../../policy/yaml.ts";
import { ordinaryUser } from "./rootless/identity.ts";

/** Where an image or a host leaves its policy, in the order they are tried; the second is the path of older images. */
export const DISCOVERY_PATHS = ["/etc/openshell/policy.yaml", "/etc/navigator/policy.yaml"] as const;

export interface SourcedPolicy {
  readonly policy: Policy;
  /** A path, or `restrictive default`. */
  readonly source: string;
  /** The file, when there is one. */
  readonly path?: string;
  /** What a person should know about how it was found. */
  readonly notes: readonly string[];
}

/** Reads a policy that a person named for a sandbox without a gateway. A bad file is an error: the person must know. */
export function readPolicyFile(path: string): Policy {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new OpenShellError("invalid_argument", `cannot read policy file ${path}`, {
      cause,
      next: "name a readable YAML file with --policy",
    });
  }
  return checked(parsePolicyYaml(text, { source: path, accounts: true }), path, true);
}

/**
 * Policy of the disk, else the restrictive default: a file that is unsafe or invalid is never used, and the notes say why.
 * @param accounts `process` may name accounts of this host; only without a gateway.
 */
export function discoverPolicy(paths: readonly string[] = DISCOVERY_PATHS, accounts = false): SourcedPolicy {
  const notes: string[] = [];
  for (const path of paths) {
    if (!lstatSync(path, { throwIfNoEntry: false })) continue;
    try {
      const policy = readDiscovered(path, accounts);
      if (path === DISCOVERY_PATHS[1]) notes.push(`policy read from the legacy path ${path}`);
      return { policy, source: path, path, notes };
    } catch (error) {
      const { message, violations } = OpenShellError.from(error);
      const details = violations.map((violation) => `${violation.field}: ${violation.message}`).join("; ");
      notes.push(`unsafe-disk-policy: ${path} is not used: ${message}${details ? ` (${details})` : ""}`);
      // The next path is another policy, not a better copy of this one.
      break;
    }
  }
  return { policy: restrictiveDefault(), source: "restrictive default", notes };
}

function checked(policy: Policy, source: string, accounts: boolean): Policy {
  const violations = validatePolicy(policy, { accounts });
  if (violations.length > 0) throw new OpenShellError("invalid_argument", `policy ${source} is not valid`, { violations });
  return policy;
}

/** Reads a policy that nobody named but that was found; only when nobody but root can change it. Throws with the reason. */
export function readDiscovered(path: string, accounts: boolean): Policy {
  return checked(parsePolicyYaml(readTrusted(path), { source: path, accounts }), path, accounts);
}

/**
 * In the user namespace of an ordinary user, root and every other user look alike (kernel.overflowuid, user_namespaces(7)); the agent is the
 * one user who can be told apart, and what it does not own and cannot write is not the agent's.
 */
const ROOT_AS_SEEN = ordinaryUser() === undefined ? 0 : 65_534;

/** The text, only when neither the file nor any directory above it, nor above what it is a link to, can be written by others than root. */
function readTrusted(path: string): string {
  const real = realpathSync(path);
  for (const start of [resolve(path), real]) {
    for (let current = start; ; current = dirname(current)) {
      const { uid, mode } = statSync(current);
      if (uid !== ROOT_AS_SEEN || (mode & 0o022) !== 0)
        throw new OpenShellError("failed_precondition", `${current} can be changed by others than root`);
      if (current === "/") break;
    }
  }
  // Anything else could make us wait.
  if (!statSync(real).isFile()) throw new OpenShellError("failed_precondition", `${real} is not a regular file`);
  return readFileSync(real, "utf8");
}
