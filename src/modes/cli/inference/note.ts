import { ConnectError } from "@connectrpc/connect";
import { printable } from "../../../command/printable.ts";
import { providerType } from "../../../inference/provider-types.ts";
import { sdkVariables } from "../../../inference/sdk-variables.ts";
import type { Sandbox } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { CALL_TIMEOUT_MS, type Gateway } from "../connection/gateway.ts";

const options = { timeoutMs: CALL_TIMEOUT_MS };

/** What answers at `inference.local` in a sandbox. */
export interface ModelNote {
  readonly provider: string;
  readonly model: string;
  /** Variables of programs that lead there. */
  readonly variables: readonly string[];
  /** Variables that do not, and the attached provider that has them. */
  readonly overridden: Readonly<Record<string, string>>;
}

/** Undefined without a route, or without the right to read it: then there is nothing to say. */
export async function modelNote({ spec }: Sandbox, { client, inference, scope }: Gateway): Promise<ModelNote | undefined> {
  try {
    const { providerName, modelId } = await inference.getInferenceRoute({ workspaceScope: scope }, options);
    const named = async (name: string) => (await client.getProvider({ workspaceScope: scope, name }, options)).provider;
    const type = (await named(providerName))?.type ?? "";
    const variables: string[] = [];
    const overridden: Record<string, string> = {};
    const attached = await Promise.all((spec?.providers ?? []).map(named));
    for (const group of sdkVariables(providerType(type)?.protocols ?? [])) {
      // The first provider that has a variable gives it, and both variables of an SDK come from one place.
      const owner = attached.find((provider) => Object.keys(group).some((name) => Object.hasOwn(provider?.credentials ?? {}, name)));
      if (owner === undefined) variables.push(...Object.keys(group));
      else for (const name of Object.keys(group)) overridden[name] = owner.metadata?.name ?? "";
    }
    return { provider: providerName, model: modelId, variables, overridden };
  } catch (error) {
    if (error instanceof ConnectError) return undefined;
    throw error;
  }
}

export function modelText({ provider, model, variables, overridden }: ModelNote): string {
  const lines = [`\ninference.local: ${printable(model)} of ${printable(provider)}`];
  if (variables.length > 0) lines.push(`  ${variables.join(", ")} lead there`);
  for (const name of new Set(Object.values(overridden))) {
    const theirs = Object.keys(overridden).filter((variable) => overridden[variable] === name);
    lines.push(`  ${theirs.join(", ")}: the attached provider ${printable(name)} wins`);
  }
  return `${lines.join("\n")}\n`;
}
