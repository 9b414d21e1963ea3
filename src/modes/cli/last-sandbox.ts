import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { printable } from "../../command/printable.ts";
import type { Terminal } from "../../command/terminal.ts";
import { OpenShellError } from "../../error.ts";
import type { Gateway } from "./connection/gateway.ts";
import { userGatewayDirectory } from "./connection/registry.ts";

/** `<workspace>\n<sandbox>`, as the published client writes it; older files hold the sandbox alone. */
function lastSandboxFile(gateway: Gateway, terminal: Terminal): string {
  return join(userGatewayDirectory(terminal.env), gateway.target.name, "last_sandbox");
}

/** Remembers the sandbox for commands that name none. Only a convenience: where the file cannot be written nothing is remembered. */
export function rememberSandbox(name: string, gateway: Gateway, terminal: Terminal): void {
  const file = lastSandboxFile(gateway, terminal);
  try {
    mkdirSync(join(file, ".."), { recursive: true, mode: 0o700 });
    writeFileSync(file, `${gateway.workspace}\n${name}\n`, { mode: 0o600 });
  } catch {
    // A read-only home directory must not fail the command that did its work.
  }
}

function lastSandbox(gateway: Gateway, terminal: Terminal): string | undefined {
  let text: string;
  try {
    text = readFileSync(lastSandboxFile(gateway, terminal), "utf8");
  } catch {
    return undefined;
  }
  const [first = "", second = ""] = text.trim().split("\n");
  if (second === "") return first || undefined;
  return first === gateway.workspace ? second : undefined;
}

/** A deleted sandbox is not the last one used any more. */
export function forgetSandbox(name: string, gateway: Gateway, terminal: Terminal): void {
  if (lastSandbox(gateway, terminal) === name) rmSync(lastSandboxFile(gateway, terminal), { force: true });
}

/** The name that was given, else the last one used, said on standard error. */
export function sandboxName(given: string | undefined, gateway: Gateway, terminal: Terminal): string {
  if (given !== undefined && given !== "") return given;
  const last = lastSandbox(gateway, terminal);
  if (last === undefined) {
    throw new OpenShellError("invalid_argument", "no sandbox is named, and none was used before", { next: "openshell sandbox list" });
  }
  terminal.err(`${terminal.errorStyle.dim("→")} Using sandbox '${printable(last)}' (last used)\n`);
  return last;
}
