import { defineCommand } from "../../../command/define.ts";
import { outputArg, print } from "../../../command/output.ts";
import { printable } from "../../../command/printable.ts";
import { type Sandbox, SandboxPhase } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { CALL_TIMEOUT_MS, type Gateway, type GatewayChoice, withGateway } from "../connection/gateway.ts";
import { rememberSandbox, sandboxName } from "../last-sandbox.ts";
import { optionalName } from "./arguments.ts";
import { warnOfMade } from "./made-configuration.ts";
import { openProgress } from "./progress.ts";
import { phaseName, sandboxData } from "./view.ts";
import { mainProcessEnded, provisionTimeout, sandboxFailure, watchUntilSettled } from "./wait.ts";

const args = { name: optionalName, output: outputArg } as const;

export const stop = defineCommand({
  meta: { name: "stop", description: "Stop a sandbox; its files stay", examples: ["openshell sandbox stop work"] },
  args,
  run: ({ args: { name: given, output }, terminal, globals }) =>
    withGateway({ globals, terminal }, async (gateway) => {
      const name = sandboxName(given, gateway, terminal);
      const { sandbox } = await gateway.client.stopSandbox({ workspaceScope: gateway.scope, name }, { timeoutMs: CALL_TIMEOUT_MS });
      warnOfMade(sandbox?.status?.madeConfiguration ?? [], terminal);
      return say(name, sandbox, output, gateway, terminal);
    }),
});

export const start = defineCommand({
  meta: {
    name: "start",
    description: "Start a stopped sandbox again",
    examples: ["openshell sandbox start work", "openshell sandbox start work --no-wait"],
  },
  args: {
    ...args,
    wait: {
      type: "boolean",
      default: true,
      description: "Wait until the sandbox is ready",
      negativeDescription: "--no-wait returns at once",
    },
  },
  run: ({ args: { name: given, output, wait }, terminal, globals }) =>
    withGateway({ globals, terminal }, async (gateway) => {
      const idleSeconds = provisionTimeout(terminal.env, ["openshell", "sandbox", "start"]);
      const name = sandboxName(given, gateway, terminal);
      let { sandbox } = await gateway.client.startSandbox({ workspaceScope: gateway.scope, name }, { timeoutMs: CALL_TIMEOUT_MS });
      if (wait) {
        const progress = openProgress(terminal);
        try {
          sandbox = await watchUntilSettled(name, gateway, progress, idleSeconds);
          if (sandbox.status?.phase === SandboxPhase.ERROR && !mainProcessEnded(sandbox)) throw sandboxFailure(name, sandbox);
          progress.done();
        } catch (reason) {
          progress.failed();
          throw reason;
        }
      }
      return say(name, sandbox, output, gateway, terminal);
    }),
});

type Output = Parameters<typeof print>[0];

async function say(
  name: string,
  sandbox: Sandbox | undefined,
  output: Output,
  gateway: Gateway,
  terminal: GatewayChoice["terminal"],
): Promise<undefined> {
  rememberSandbox(name, gateway, terminal);
  const ended = sandbox !== undefined && sandbox.status?.phase === SandboxPhase.ERROR && mainProcessEnded(sandbox);
  const state = ended
    ? `has started; its main process has ended with exit code ${sandbox.status?.exitCode ?? "unknown"}`
    : `is ${phaseName(sandbox?.status?.phase).toLowerCase()}`;
  const table = () => `${terminal.style.green("✓")} Sandbox '${printable(name)}' ${state}\n`;
  await print(output, { data: sandbox === undefined ? {} : sandboxData(sandbox), names: [name], table }, terminal);
  return undefined;
}
