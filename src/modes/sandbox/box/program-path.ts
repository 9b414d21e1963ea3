import { accessSync, constants, statSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { OpenShellError } from "../../../error.ts";

/** Used when the environment of a program has no PATH, as a login would set it. */
export const DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin";

/**
 * The file a command means: as execvp finds it, in the current root and with the current user's rights. A name with a slash is taken as
 * it is, relative to `workdir`.
 */
export function findProgram(command: string, environment: Readonly<Record<string, string>>, workdir: string): string {
  if (command === "") throw new OpenShellError("invalid_argument", "the command is empty", { next: "name a program to run" });
  if (command.includes("/")) {
    const path = isAbsolute(command) ? command : join(workdir, command);
    if (isProgram(path)) return path;
    throw notFound(command);
  }
  for (const directory of (environment["PATH"] ?? DEFAULT_PATH).split(":")) {
    const path = join(isAbsolute(directory) ? directory : join(workdir, directory), command);
    if (isProgram(path)) return path;
  }
  throw notFound(command);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function notFound(command: string): OpenShellError {
  return new OpenShellError("not_found", `${command} is not a program in the sandbox`, {
    next: "check its name and the PATH inside the sandbox",
  });
}

/** The same lookup on the host, to say where a program is that the box does not have. */
export function hintFromHost(error: OpenShellError, command: string, environment: Readonly<Record<string, string>>): OpenShellError {
  if (error.code !== "not_found") return error;
  try {
    const path = findProgram(command, environment, "/");
    const next = `add --mount ${path}:${path}:ro, or list a directory that contains it under filesystem_policy.read_only`;
    return new OpenShellError("not_found", `${command} is ${path} on the host, which is not part of the sandbox's file system`, { next });
  } catch {
    return error;
  }
}
