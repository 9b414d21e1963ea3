import { OpenShellError } from "../../../error.ts";
import type { Gateway, GatewayChoice } from "../connection/gateway.ts";
import { findProgram } from "./find-program.ts";
import { addManagedHost } from "./managed-config.ts";
import { sshHost } from "./ssh-client.ts";

/** Editors that work over ssh, by the programs that start them. */
const PROGRAMS = { vscode: "code", cursor: "cursor" } as const;
export type Editor = keyof typeof PROGRAMS;

/** `--editor`, for commands that can open one. */
export const editorArg = {
  type: "enum",
  options: ["vscode", "cursor"],
  description: "Open this editor in the sandbox, over ssh",
} as const;

/** The files of every sandbox. */
const FOLDER = "/sandbox";

/** Throws when the editor is not installed; for commands that do much before they open one. */
export function requireEditor(editor: Editor, env: GatewayChoice["terminal"]["env"]): string {
  const program = findProgram(PROGRAMS[editor], env);
  if (program !== undefined) return program;
  throw new OpenShellError("failed_precondition", `${PROGRAMS[editor]} is not on PATH`, {
    next: "install its command for shells, or name the sandbox to any editor with: openshell sandbox ssh-config NAME >> ~/.ssh/config",
  });
}

/** Opens an editor in a sandbox; answers when the program that starts it has ended, with its exit code. */
export async function openEditor(editor: Editor, sandbox: string, gateway: Gateway, choice: GatewayChoice): Promise<number> {
  const program = requireEditor(editor, choice.terminal.env);
  const host = sshHost(sandbox, gateway, choice);
  addManagedHost(host, choice.terminal.env);
  const child = Bun.spawn({
    cmd: [program, "--remote", `ssh-remote+${host.alias}`, FOLDER],
    env: choice.terminal.env as Record<string, string>,
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
  });
  return child.exited;
}
