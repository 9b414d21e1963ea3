import { defineCommand } from "../../../command/define.ts";
import { printable } from "../../../command/printable.ts";
import { EXIT_ERROR, EXIT_OK, reportError } from "../../../command/report.ts";
import type { Terminal } from "../../../command/terminal.ts";
import { OpenShellError } from "../../../error.ts";
import { fromConnectError } from "../../../rpc/errors.ts";
import { DeletionOutcome } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { confirm } from "../ask.ts";
import { CALL_TIMEOUT_MS, type Gateway, withGateway } from "../connection/gateway.ts";
import { forgetSandbox } from "../last-sandbox.ts";
import { listSandboxes } from "./list.ts";
import { warnOfMade } from "./made-configuration.ts";

/** How often we look whether an accepted deletion is done. */
const POLL_MS = 100;

/** Deletes one sandbox and waits until it is gone; false when there was none. */
async function deleteOne(name: string, gateway: Gateway, terminal: Terminal): Promise<boolean> {
  const request = { workspaceScope: gateway.scope, name };
  const { outcome, madeConfiguration } = await gateway.client.deleteSandbox(request, { timeoutMs: CALL_TIMEOUT_MS });
  warnOfMade(madeConfiguration, terminal);
  if (outcome !== DeletionOutcome.ACCEPTED) return outcome !== DeletionOutcome.ALREADY_ABSENT;
  const deadline = performance.now() + CALL_TIMEOUT_MS;
  while (performance.now() < deadline) {
    try {
      await gateway.client.getSandbox(request, { timeoutMs: CALL_TIMEOUT_MS });
    } catch (reason) {
      if (fromConnectError(reason).code === "not_found") return true;
      throw reason;
    }
    await Bun.sleep(POLL_MS);
  }
  throw new OpenShellError("deadline_exceeded", `sandbox '${name}' is still being deleted after ${CALL_TIMEOUT_MS / 1000} s`, {
    next: `openshell sandbox get ${name}`,
  });
}

export default defineCommand({
  meta: {
    name: "delete",
    description: "Delete sandboxes: processes, files and policy",
    examples: ["openshell sandbox delete work", "openshell sandbox delete --all --yes"],
  },
  args: {
    names: { type: "positional", multiple: true, required: false, valueHint: "NAME", description: "Sandboxes" },
    all: { type: "boolean", description: "Every sandbox of the workspace" },
    yes: { type: "boolean", alias: "y", description: "Do not ask" },
  },
  run: ({ args, terminal, globals }) => {
    if (args.all && args.names.length > 0) throw new OpenShellError("invalid_argument", "--all and names exclude each other");
    if (!args.all && args.names.length === 0) {
      throw new OpenShellError("invalid_argument", "argument NAME is missing", { next: "openshell sandbox delete NAME..., or --all" });
    }
    return withGateway({ globals, terminal }, async (gateway) => {
      const names = args.all ? (await listSandboxes(gateway)).map(({ metadata }) => metadata?.name ?? "") : args.names;
      if (args.all && names.length > 0 && !args.yes && terminal.stdinIsTerminal) {
        if (!(await confirm(`Delete ${names.length} sandboxes (${printable(names.join(", "))})?`, terminal))) return EXIT_ERROR;
      }
      let code = EXIT_OK;
      for (const name of names) {
        try {
          const existed = await deleteOne(name, gateway, terminal);
          forgetSandbox(name, gateway, terminal);
          terminal.out(`${terminal.style.green("✓")} ${existed ? "Deleted sandbox" : "There was no sandbox"} '${printable(name)}'\n`);
        } catch (reason) {
          const error = fromConnectError(reason);
          if (error.code === "unavailable" || names.length === 1) throw reason;
          code = reportError(error, terminal);
        }
      }
      return code;
    });
  },
});
