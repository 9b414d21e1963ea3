import { OpenShellError } from "../error.ts";

/** A mistake on the command line: exit 2, and the help of that command as the next step. */
export function usageError(message: string, path: readonly string[], hint?: string): OpenShellError {
  return new OpenShellError("invalid_argument", message, { next: hint ?? `see ${path.join(" ")} --help` });
}
