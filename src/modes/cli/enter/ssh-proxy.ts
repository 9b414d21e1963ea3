import { defineCommand } from "../../../command/define.ts";
import { OpenShellError } from "../../../error.ts";
import { withGateway } from "../connection/gateway.ts";
import { openEntry } from "./ssh-session.ts";
import { openTunnel } from "./tunnel.ts";

/** How long the sandbox's side may take to end after ours. Milliseconds. */
const CLOSE_TIME = 2000;

/** What `ssh` starts as its ProxyCommand: joins standard input and output to the SSH server of a sandbox. */
export default defineCommand({
  meta: {
    name: "ssh-proxy",
    description: "Join standard input and output to a sandbox's SSH server, for ssh's ProxyCommand",
    examples: ["ssh -o ProxyCommand='openshell ssh-proxy --name work' sandbox@work"],
    hidden: true,
  },
  args: {
    name: { type: "string", valueHint: "NAME", description: "Sandbox" },
    "gateway-name": { type: "string", valueHint: "NAME", description: "Registered gateway to use, as --gateway" },
    token: { type: "string", valueHint: "TOKEN", description: "Session token; one is asked for when left out" },
    // Flags of earlier clients, in ssh configurations that people have.
    server: { type: "string", valueHint: "URL", description: "Gateway address, as --gateway-endpoint", hidden: true },
    "sandbox-id": { type: "string", valueHint: "ID", description: "Not used: sandboxes go by name", hidden: true },
  },
  run({ args, terminal, globals }) {
    const { name } = args;
    if (!name) throw new OpenShellError("invalid_argument", "--name is required", { next: "openshell ssh-proxy --name NAME" });
    const chosen = {
      ...globals,
      ...(args["gateway-name"] ? { gateway: args["gateway-name"] } : {}),
      ...(args.server ? { "gateway-endpoint": args.server } : {}),
    };
    return withGateway({ globals: chosen, terminal }, async (gateway) => {
      const given = args.token;
      await using entry = given ? { token: given, async [Symbol.asyncDispose]() {} } : await openEntry(gateway, name);
      const target = { case: "ssh", value: {} } as const;
      // When ssh closes its end there is nobody left to answer: the other side is told, and not waited for.
      const closed = new AbortController();
      const input = endWith(terminal.stdin, () => setTimeout(() => closed.abort(), CLOSE_TIME).unref());
      try {
        for await (const piece of openTunnel(gateway, { sandbox: name, token: entry.token, target }, input, closed.signal)) {
          if (piece.length === 0) break;
          await terminal.outBytes(piece);
        }
      } catch (reason) {
        if (!closed.signal.aborted) throw reason;
      } finally {
        terminal.stdin.stop();
      }
      return 0;
    });
  },
});

async function* endWith<T>(items: AsyncIterable<T>, ended: () => unknown): AsyncGenerator<T> {
  yield* items;
  ended();
}
