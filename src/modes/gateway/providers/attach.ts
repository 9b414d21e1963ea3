import { create } from "@bufbuild/protobuf";
import { OpenShellError } from "../../../error.ts";
import { type SandboxSpec, SandboxSpecSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { atMost, MAX_PROVIDERS } from "../sandboxes/limits.ts";
import type { SandboxRecord } from "../store/sandboxes.ts";
import type { ProviderRecord, ProviderRepository } from "./repository.ts";

/** Throws `failed_precondition` for the first name that no provider of the workspace has, `invalid_argument` for one that is named twice. */
export function requireProviders(repository: Pick<ProviderRepository, "byName">, workspace: string, names: readonly string[]): void {
  for (const [index, name] of names.entries()) {
    if (names.indexOf(name) !== index) throw new OpenShellError("invalid_argument", `provider '${name}' is named twice`);
    if (repository.byName(workspace, name) !== undefined) continue;
    throw new OpenShellError("failed_precondition", `provider '${name}' not found`, {
      next: "openshell provider list, or openshell provider create",
    });
  }
}

/** The spec with the provider as the last one; undefined when it is attached already. */
export function withProvider({ spec }: SandboxRecord, { name }: ProviderRecord): SandboxSpec | undefined {
  if (spec.providers.includes(name)) return undefined;
  atMost("spec.providers", spec.providers.length + 1, MAX_PROVIDERS, "entries");
  return attached(spec, [...spec.providers, name]);
}

/** The spec without the provider; undefined when it is not attached. */
export function withoutProvider({ spec }: SandboxRecord, name: string): SandboxSpec | undefined {
  if (!spec.providers.includes(name)) return undefined;
  return attached(
    spec,
    spec.providers.filter((other) => other !== name),
  );
}

/** Every change of what is attached has an epoch of its own. */
function attached(spec: SandboxSpec, providers: string[]): SandboxSpec {
  return create(SandboxSpecSchema, { ...spec, providers, providerAttachmentEpoch: crypto.randomUUID() });
}
