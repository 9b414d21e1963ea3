import { basename } from "node:path";
import type { Terminal } from "../../../command/terminal.ts";
import { OpenShellError } from "../../../error.ts";
import { fromConnectError } from "../../../rpc/errors.ts";
import { CALL_TIMEOUT_MS, type Gateway } from "../connection/gateway.ts";
import { listProviders } from "./command.ts";
import { discover } from "./secrets.ts";

const options = { timeoutMs: CALL_TIMEOUT_MS };

/**
 * The provider that a command wants by its name (`claude` wants one of type claude-code): the first there is, else one made of the variables
 * that are set here. Undefined for a program of no known service.
 */
export async function providerForCommand(command: readonly string[], gateway: Gateway, { env }: Terminal): Promise<string | undefined> {
  const type = basename(command[0] ?? "").toLowerCase();
  if (type === "") return undefined;
  const { client, scope } = gateway;
  const { profile } = await client.getProviderProfile({ workspaceScope: scope, id: type }, options).catch((reason) => {
    if (fromConnectError(reason).code === "not_found") return { profile: undefined };
    throw reason;
  });
  if (profile === undefined || profile.credentials.length === 0) return undefined;
  for (const provider of await listProviders(gateway)) {
    // A provider keeps the name of the kind that it was given, which may be another name of the same kind.
    const kind = await client.getProviderProfile({ workspaceScope: scope, id: provider.type }, options);
    if (kind.profile?.id === profile.id) return provider.metadata?.name;
  }
  try {
    const message = { metadata: { name: profile.id }, type: profile.id, credentials: discover(profile, env) };
    const { provider } = await client.createProvider({ workspaceScope: scope, provider: message }, options);
    return provider?.metadata?.name;
  } catch (reason) {
    const { code, message } = OpenShellError.from(reason);
    if (code === "not_found")
      throw new OpenShellError("not_found", `--auto-providers: there is no provider of type '${profile.id}', and ${message}`, {
        next: `openshell provider create --name ${profile.id} --type ${profile.id} --credential KEY`,
      });
    throw reason;
  }
}
