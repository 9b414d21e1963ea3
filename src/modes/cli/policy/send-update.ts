import type { MessageInitShape } from "@bufbuild/protobuf";
import { type OutputFormat, print } from "../../../command/output.ts";
import { EXIT_OK } from "../../../command/report.ts";
import type { Terminal } from "../../../command/terminal.ts";
import type { UpdateConfigRequestSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { CALL_TIMEOUT_MS, type Gateway } from "../connection/gateway.ts";
import { rememberSandbox } from "../last-sandbox.ts";
import { waitLoaded } from "./wait-loaded.ts";

/** Sends a change of a policy, says which version it became and, when asked, returns once the sandbox enforces it. */
export async function sendUpdate(
  request: MessageInitShape<typeof UpdateConfigRequestSchema> & { readonly sandbox: string; readonly global: boolean },
  wait: { readonly asked: boolean; readonly timeoutSeconds: number },
  gateway: Gateway,
  terminal: Terminal,
  output: OutputFormat = "table",
): Promise<number> {
  const { version, policyHash } = await gateway.client.updateConfig(request, { timeoutMs: CALL_TIMEOUT_MS });
  if (!request.global) rememberSandbox(request.sandbox, gateway, terminal);
  if (output === "table") terminal.out(`${terminal.style.green("✓")} Policy version ${version} is set\n`);
  if (wait.asked) await waitLoaded(request.sandbox, version, gateway, wait.timeoutSeconds);
  const data = { ...(request.global ? {} : { sandbox: request.sandbox }), version, policy_hash: policyHash, in_force: wait.asked };
  const table = () => (wait.asked ? `${terminal.style.green("✓")} In force in the sandbox\n` : "");
  await print(output, { data, names: [String(version)], table }, terminal);
  return EXIT_OK;
}
