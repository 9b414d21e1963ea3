import { OpenShellError } from "../../../error.ts";
import { confirm } from "../ask.ts";
import { chosenGateway, type GatewayChoice } from "../connection/gateway.ts";
import { isLoopback } from "../connection/target.ts";
import { localGateway, startGateway } from "./local.ts";

/** The name under which `gateway serve` registers itself. */
const LOCAL_NAME = "openshell";

/**
 * Starts the local gateway for who wants a sandbox and has none running: after a yes on the terminal, or at once with `--yes`. Does nothing
 * when a gateway was chosen by flag or variable. An ordinary user gets one of their own, where user namespaces are allowed.
 */
export async function offerGateway(choice: GatewayChoice, yes: boolean): Promise<void> {
  const { globals, terminal } = choice;
  if (globals["gateway"] || globals["gateway-endpoint"] || !isMissing(choice)) return;
  if (!yes && !(terminal.stdinIsTerminal && (await confirm("No gateway runs here. Start one in the background?", terminal)))) return;
  const pid = await startGateway(terminal.env, []);
  terminal.err(`${terminal.errorStyle.green("✓")} The gateway runs (pid ${pid}); openshell gateway stop ends it\n`);
}

/** No gateway is registered, or only the local one, which does not run. */
function isMissing(choice: GatewayChoice): boolean {
  if (localGateway(choice.terminal.env).pid !== undefined) return false;
  try {
    const { name, endpoint } = chosenGateway(choice);
    return name === LOCAL_NAME && isLoopback(new URL(endpoint).hostname);
  } catch (reason) {
    return OpenShellError.from(reason).code === "failed_precondition";
  }
}
