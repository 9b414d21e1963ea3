import { defineCommand } from "../../../command/define.ts";
import { OpenShellError } from "../../../error.ts";
import { CALL_TIMEOUT_MS, withGateway } from "../connection/gateway.ts";
import { rememberSandbox, sandboxName } from "../last-sandbox.ts";
import { optionalName } from "../sandbox/arguments.ts";
import { editorArg, openEditor } from "./editor.ts";
import { runSsh, sshHost } from "./ssh-client.ts";

/** The subsystem of the sandbox's SSH server that leads to its main process. */
const MAIN_SUBSYSTEM = "openshell-main";

export default defineCommand({
  meta: {
    name: "connect",
    description: "Open a shell in a sandbox",
    examples: [
      "openshell sandbox connect work",
      "openshell sandbox connect work --main   # look at its main process",
      "openshell sandbox connect work --editor vscode",
    ],
  },
  args: {
    name: optionalName,
    editor: editorArg,
    main: { type: "boolean", description: "Its main process instead of a shell; leaving does not end it" },
    tty: {
      type: "boolean",
      description: "With a terminal (default: when input is one)",
      negativeDescription: "--no-tty without",
    },
  },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async (gateway) => {
      const sandbox = sandboxName(args.name, gateway, terminal);
      // Says what is wrong before ssh can only say that its proxy ended.
      const found = await gateway.client.getSandbox({ workspaceScope: gateway.scope, name: sandbox }, { timeoutMs: CALL_TIMEOUT_MS });
      const spec = found.sandbox?.spec;
      if (args.main && (spec?.command.length ?? 0) === 0) {
        throw new OpenShellError("failed_precondition", `sandbox '${sandbox}' has no main process`, {
          next: `openshell sandbox connect ${sandbox}`,
        });
      }
      if (args.editor !== undefined && (args.main || args.tty !== undefined))
        throw new OpenShellError("invalid_argument", "--editor opens an editor, it cannot go with --main or --tty");
      rememberSandbox(sandbox, gateway, terminal);
      if (args.editor !== undefined) return openEditor(args.editor, sandbox, gateway, { globals, terminal });
      const wanted = args.tty ?? (args.main ? (spec?.tty ?? false) && terminal.stdinIsTerminal : terminal.stdinIsTerminal);
      const options = [wanted ? "-tt" : "-T", ...(args.main ? ["-s"] : [])];
      return runSsh(sshHost(sandbox, gateway, { globals, terminal }), options, args.main ? [MAIN_SUBSYSTEM] : [], terminal);
    }),
});
