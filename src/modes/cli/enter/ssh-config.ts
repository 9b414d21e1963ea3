import { defineCommand } from "../../../command/define.ts";
import { CALL_TIMEOUT_MS, withGateway } from "../connection/gateway.ts";
import { sandboxName } from "../last-sandbox.ts";
import { optionalName } from "../sandbox/arguments.ts";
import { sshConfigBlock, sshHost } from "./ssh-client.ts";

export default defineCommand({
  meta: {
    name: "ssh-config",
    description: "Print an ssh configuration for a sandbox: for ssh, scp, sftp, rsync and editors",
    examples: [
      "openshell sandbox ssh-config work >> ~/.ssh/config",
      "ssh -F <(openshell sandbox ssh-config work) openshell-work",
      "rsync -e 'ssh -F work.conf' -a src/ openshell-work:src/",
    ],
  },
  args: { name: optionalName },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async (gateway) => {
      const sandbox = sandboxName(args.name, gateway, terminal);
      await gateway.client.getSandbox({ workspaceScope: gateway.scope, name: sandbox }, { timeoutMs: CALL_TIMEOUT_MS });
      // Earlier clients' alias has no workspace.
      const short = gateway.workspace === "default" ? [`openshell-${sandbox}`] : [];
      terminal.out(sshConfigBlock(sshHost(sandbox, gateway, { globals, terminal }), short));
      return 0;
    }),
});
