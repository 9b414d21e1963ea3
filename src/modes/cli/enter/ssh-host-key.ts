import { createHash } from "node:crypto";
import { defineCommand } from "../../../command/define.ts";
import { OpenShellError } from "../../../error.ts";
import { CALL_TIMEOUT_MS, withGateway } from "../connection/gateway.ts";

/** Why ssh asks before it has seen a key: only to learn which algorithms to prefer (`%I` in ssh_config(5)). */
const BEFORE_THE_KEY = "ORDER";

/** A line of known_hosts is one line of three words. */
const WORD = /^[A-Za-z0-9@._:+/=[\]-]{1,4096}$/;

/** `SHA256:` and unpadded base64, as ssh-keygen prints it. */
export function fingerprintOf(keyBase64: string): string {
  return `SHA256:${createHash("sha256").update(Buffer.from(keyBase64, "base64")).digest("base64").replace(/=+$/, "")}`;
}

/**
 * What `ssh` starts as its KnownHostsCommand: prints a line of known_hosts when the key that the server showed is the one that the gateway
 * knows of the sandbox, and nothing when it is another.
 */
export default defineCommand({
  meta: {
    name: "ssh-host-key",
    description: "Vouch for the key of a sandbox's SSH server, for ssh's KnownHostsCommand",
    examples: ["ssh -o KnownHostsCommand='/usr/bin/openshell ssh-host-key --name work --reason %I --host %H --type %t --key %K' work"],
    hidden: true,
  },
  args: {
    name: { type: "string", valueHint: "NAME", description: "Sandbox" },
    "gateway-name": { type: "string", valueHint: "NAME", description: "Registered gateway to use, as --gateway" },
    reason: { type: "string", valueHint: "WORD", description: "Why ssh asks (%I)" },
    host: { type: "string", valueHint: "HOST", description: "Host it looks for (%H)" },
    type: { type: "string", valueHint: "TYPE", description: "Type of the server's key (%t)" },
    key: { type: "string", valueHint: "BASE64", description: "The server's key (%K)" },
  },
  async run({ args, terminal, globals }) {
    const { name, reason, host, type, key } = args;
    if (reason === BEFORE_THE_KEY) return 0;
    if (!name || !host || !type || !key) {
      throw new OpenShellError("invalid_argument", "--name, --host, --type and --key are required", {
        next: "ssh calls this command; see: openshell sandbox ssh-config",
      });
    }
    if (![host, type, key].every((word) => WORD.test(word)))
      throw new OpenShellError("invalid_argument", "--host, --type or --key is no word of known_hosts");
    const chosen = { ...globals, ...(args["gateway-name"] ? { gateway: args["gateway-name"] } : {}) };
    return withGateway({ globals: chosen, terminal }, async (gateway) => {
      const { sandbox } = await gateway.client.getSandbox({ workspaceScope: gateway.scope, name }, { timeoutMs: CALL_TIMEOUT_MS });
      if (sandbox?.hostKeyFingerprint === fingerprintOf(key)) terminal.out(`${host} ${type} ${key}\n`);
      else terminal.err(`openshell: the key of this SSH server is not that of sandbox '${name}'\n`);
      return 0;
    });
  },
});
