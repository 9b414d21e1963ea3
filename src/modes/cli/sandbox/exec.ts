import type { MessageInitShape } from "@bufbuild/protobuf";
import { defineCommand } from "../../../command/define.ts";
import type { Terminal } from "../../../command/terminal.ts";
import { pairsValue } from "../../../command/values.ts";
import { OpenShellError } from "../../../error.ts";
import type { ExecSandboxInputSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { MAX_CHUNK_BYTES } from "../../../rpc/limits.ts";
import { type Gateway, withGateway } from "../connection/gateway.ts";
import { rememberSandbox, sandboxName } from "../last-sandbox.ts";
import { InputQueue } from "./input-queue.ts";

type Input = MessageInitShape<typeof ExecSandboxInputSchema>;

/** Seconds; a week. 0 is no limit. */
const MAX_TIMEOUT_SECONDS = 604_800;

/** Standard input in frames, then the empty frame that means its end. */
async function sendStdin(queue: InputQueue<Input>, terminal: Terminal): Promise<void> {
  for await (const chunk of terminal.stdin) {
    for (let at = 0; at < chunk.length; at += MAX_CHUNK_BYTES) {
      await queue.push({ payload: { case: "stdin", value: chunk.subarray(at, at + MAX_CHUNK_BYTES) } });
    }
  }
  await queue.push({ payload: { case: "stdin", value: new Uint8Array(0) } });
}

/** Runs one command, or joins the main process, with this terminal's streams and answers its exit code. */
export async function execute(gateway: Gateway, start: Input, tty: boolean, terminal: Terminal, signal?: AbortSignal): Promise<number> {
  const queue = new InputQueue<Input>();
  const events = gateway.client.execSandboxInteractive(queue, signal === undefined ? {} : { signal });
  void queue.push(start);
  const sending = sendStdin(queue, terminal);
  // A failure to read our standard input ends the command's input, not the command.
  sending.catch(() => queue.push({ payload: { case: "stdin", value: new Uint8Array(0) } }));
  const offResize = tty ? terminal.onResize(() => void queue.push({ payload: { case: "resize", value: terminal.size() } })) : () => {};
  if (tty) terminal.stdin.raw(true);
  try {
    for await (const { payload } of events) {
      if (payload.case === "stdout") await terminal.outBytes(payload.value.data);
      else if (payload.case === "stderr") await terminal.errBytes(payload.value.data);
      else if (payload.case === "exit") return payload.value.exitCode;
    }
  } finally {
    offResize();
    if (tty) terminal.stdin.raw(false);
    queue.close();
    terminal.stdin.stop();
  }
  throw new OpenShellError("unavailable", "the connection ended before the command did; whether it still runs is unknown", {
    next: "openshell status",
  });
}

export default defineCommand({
  meta: {
    name: "exec",
    description: "Run a command in a sandbox; its exit code is ours",
    examples: [
      "openshell sandbox exec -n work -- git status",
      "openshell sandbox exec -n work --tty -- bash",
      "tar c . | openshell sandbox exec -n work --workdir /sandbox -- tar x",
    ],
  },
  args: {
    name: { type: "string", alias: "n", valueHint: "NAME", description: "Sandbox; the last one used when left out" },
    workdir: { type: "string", valueHint: "DIR", description: "Working directory" },
    timeout: {
      type: "string",
      integer: { min: 0, max: MAX_TIMEOUT_SECONDS, default: 0 },
      valueHint: "SECONDS",
      description: "End the command after this long (exit code 124); 0 is never",
    },
    env: { type: "string", multiple: true, valueHint: "KEY=VALUE", description: "Variable for the command" },
    tty: {
      type: "boolean",
      description: "With a terminal (default: when input and output are one)",
      negativeDescription: "--no-tty without",
    },
    "login-shell": {
      type: "boolean",
      default: true,
      description: "Through a login shell's environment",
      negativeDescription: "--no-login-shell without",
    },
    command: { type: "positional", multiple: true, terminator: "implied", valueHint: "COMMAND", description: "Command and its arguments" },
  },
  run: ({ args, terminal, globals }) => {
    const environment = pairsValue("--env", args.env, ["openshell", "sandbox", "exec"]);
    const tty = args.tty ?? (terminal.stdinIsTerminal && terminal.stdoutIsTerminal);
    return withGateway({ globals, terminal }, async (gateway) => {
      const sandbox = sandboxName(args.name, gateway, terminal);
      const size = tty ? terminal.size() : {};
      const start: Input = {
        payload: {
          case: "start",
          value: {
            workspaceScope: gateway.scope,
            sandbox,
            command: [...args.command],
            workdir: args.workdir ?? "",
            environment,
            tty,
            noLoginShell: !args["login-shell"],
            ...size,
            ...(args.timeout === 0 ? {} : { executionTimeout: { seconds: BigInt(args.timeout) } }),
          },
        },
      };
      const code = await execute(gateway, start, tty, terminal);
      rememberSandbox(sandbox, gateway, terminal);
      return code;
    });
  },
});
