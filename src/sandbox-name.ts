import { OpenShellError } from "./error.ts";

/** A DNS label (RFC 1123): the name is part of host names, where `--` stands between it and the names of workspace and service. */
export const MAX_SANDBOX_NAME_LENGTH = 63;

/** Words that the command line reads as something else after `sandbox draft`. */
export const RESERVED_SANDBOX_NAMES: ReadonlySet<string> = new Set(["approve", "reject", "edit", "undo", "retry", "clear", "history"]);

/** Throws `invalid_argument` unless the name can be a sandbox's; the gateway and the command line ask the same. */
export function checkSandboxName(name: string): void {
  if (name.length > MAX_SANDBOX_NAME_LENGTH) {
    throw refused(`name is ${name.length} characters, at most ${MAX_SANDBOX_NAME_LENGTH} are accepted`);
  }
  if (!/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(name)) {
    throw refused("name must be lower-case letters, digits and dashes, with a letter or digit at both ends");
  }
  if (name.includes("--")) throw refused("name must not have two dashes in a row");
  if (RESERVED_SANDBOX_NAMES.has(name)) throw refused(`'${name}' is a word of the command line and cannot be a sandbox's name`);
}

function refused(message: string): OpenShellError {
  return new OpenShellError("invalid_argument", message, { violations: [{ field: "name", message }] });
}
