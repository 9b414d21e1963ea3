import { defineCommand } from "../../command/define.ts";
import { outputArg, print } from "../../command/output.ts";
import { printable, printableSentence } from "../../command/printable.ts";
import { EXIT_ERROR, EXIT_OK } from "../../command/report.ts";
import { renderFields } from "../../command/table.ts";
import { OpenShellError } from "../../error.ts";
import { fromConnectError } from "../../rpc/errors.ts";
import { ServiceStatus } from "../../rpc/gen/openshell/v1/openshell_pb.ts";
import { VERSION } from "../../version.ts";
import { CALL_TIMEOUT_MS, chosenGateway, type Gateway, withGateway } from "./connection/gateway.ts";
import { START_GATEWAY } from "./connection/target.ts";

const options = { timeoutMs: CALL_TIMEOUT_MS };

/** What the gateway says of itself; a caller without the right to know more still learns that it is there. */
async function inspect({ client }: Gateway) {
  const health = await client.health({}, options);
  let drivers: string[] = [];
  try {
    drivers = (await client.getGatewayInfo({}, options)).computeDrivers.map(({ name }) => name);
  } catch (reason) {
    const { code } = fromConnectError(reason);
    if (code !== "permission_denied" && code !== "unimplemented") throw reason;
  }
  return { version: health.version, health: (ServiceStatus[health.status] ?? "unspecified").toLowerCase(), drivers };
}

export default defineCommand({
  meta: {
    name: "status",
    description: "Show which gateway is used and whether it answers",
    examples: ["openshell status", "openshell status -o json"],
  },
  args: { output: outputArg },
  run: async ({ args, terminal, globals }) => {
    const choice = { globals, terminal };
    const { style } = terminal;
    let target: ReturnType<typeof chosenGateway>;
    try {
      target = chosenGateway(choice);
    } catch (reason) {
      // Nothing is wrong when nobody has started a gateway yet: say how.
      const error = OpenShellError.from(reason);
      if (error.code !== "failed_precondition") throw error;
      const data = { gateway: null, status: "none", client_version: VERSION, message: error.message, next: error.next ?? START_GATEWAY };
      const table = () => `${printableSentence(error.message)}\nNext: ${error.next ?? START_GATEWAY}\n`;
      await print(args.output, { data, names: [], table }, terminal);
      return EXIT_OK;
    }
    const base = { gateway: target.name, server: target.endpoint, client_version: VERSION };
    try {
      const found = await withGateway(choice, inspect);
      const fields: [string, string][] = [
        ["Gateway", printable(target.name)],
        ["Server", printable(target.endpoint)],
        ["Status", style.green(found.health === "healthy" ? "Connected" : `Connected (${found.health})`)],
        ["Version", printable(found.version)],
      ];
      if (found.drivers.length > 0) fields.push(["Drivers", printable(found.drivers.join(", "))]);
      const data = { ...base, status: "connected", health: found.health, version: found.version, drivers: found.drivers };
      await print(args.output, { data, names: [target.name], table: () => renderFields(fields, style) }, terminal);
      return EXIT_OK;
    } catch (reason) {
      const error = OpenShellError.from(reason);
      const fields: [string, string][] = [
        ["Gateway", printable(target.name)],
        ["Server", printable(target.endpoint)],
        ["Status", style.red("Disconnected")],
        ["Reason", printableSentence(error.message)],
        ["Next", printable(error.next ?? START_GATEWAY)],
      ];
      const data = {
        ...base,
        status: "disconnected",
        error: { code: error.code, message: error.message, next: error.next ?? START_GATEWAY },
      };
      await print(args.output, { data, names: [target.name], table: () => renderFields(fields, style) }, terminal);
      return EXIT_ERROR;
    }
  },
});
