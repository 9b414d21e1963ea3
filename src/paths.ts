import { homedir } from "node:os";
import { join } from "node:path";

/** Where the gateway keeps its state: `$XDG_STATE_HOME/openshell`, root's default `/var/lib/openshell`. */
export function stateDirectory(env: NodeJS.ProcessEnv = process.env): string {
  if (env["XDG_STATE_HOME"]) return join(env["XDG_STATE_HOME"], "openshell");
  return process.getuid?.() === 0 ? "/var/lib/openshell" : join(homedir(), ".local/state/openshell");
}

/** Where clients keep gateway registrations: `$XDG_CONFIG_HOME/openshell`, else `~/.config/openshell`. */
export function configDirectory(env: NodeJS.ProcessEnv = process.env): string {
  return join(env["XDG_CONFIG_HOME"] || join(homedir(), ".config"), "openshell");
}

/** Registrations for every user of the machine; `OPENSHELL_SYSTEM_GATEWAY_DIR` moves it. */
export function systemGatewayDirectory(env: NodeJS.ProcessEnv = process.env): string {
  return env["OPENSHELL_SYSTEM_GATEWAY_DIR"] || "/etc/openshell/gateways";
}

/** The gateway's default port. */
export const DEFAULT_GATEWAY_PORT = 17670;
