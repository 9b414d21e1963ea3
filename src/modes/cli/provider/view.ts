import { printable } from "../../../command/printable.ts";
import { renderFields, renderTable } from "../../../command/table.ts";
import type { Style } from "../../../command/terminal.ts";
import type { Provider } from "../../../rpc/gen/openshell/datamodel/v1/datamodel_pb.ts";
import { type ProviderProfile, ProviderProfileCategory } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { isoTime, tableTime } from "../sandbox/view.ts";

/** Names of credentials; values never leave the gateway. */
const credentialNames = ({ credentials }: Provider): string[] => Object.keys(credentials).sort();

/** What json and yaml show of a provider. */
export function providerData(provider: Provider): Record<string, unknown> {
  const { metadata, type, config, credentialExpirationTimes } = provider;
  return {
    id: metadata?.id ?? "",
    name: metadata?.name ?? "",
    workspace: metadata?.workspace ?? "",
    type,
    labels: metadata?.labels ?? {},
    resource_version: Number(metadata?.resourceVersion ?? 0n),
    created_at: isoTime(metadata?.createdTime) ?? null,
    credential_keys: credentialNames(provider),
    credential_expiration_times: Object.fromEntries(Object.entries(credentialExpirationTimes).map(([key, at]) => [key, isoTime(at)])),
    config,
  };
}

/** With the workspace first when there may be several. */
export function providerTable(providers: readonly Provider[], style: Style, workspaces = false): string {
  if (providers.length === 0) return "No providers found.\n";
  return renderTable(
    [...(workspaces ? ["WORKSPACE"] : []), "NAME", "TYPE", "CREATED", "CREDENTIALS"],
    providers.map((provider) => [
      ...(workspaces ? [provider.metadata?.workspace ?? ""] : []),
      provider.metadata?.name ?? "",
      provider.type,
      tableTime(provider.metadata?.createdTime),
      credentialNames(provider).join(", ") || "-",
    ]),
    style,
  );
}

export function providerDetails(provider: Provider, style: Style): string {
  const { metadata, type, config, credentialExpirationTimes } = provider;
  const ends = Object.entries(credentialExpirationTimes).map(([key, at]): [string, string] => [`${key} ends`, `${tableTime(at)} UTC`]);
  return renderFields(
    [
      ["Name", printable(metadata?.name ?? "")],
      ["Id", printable(metadata?.id ?? "")],
      ["Type", printable(type)],
      ["Created", `${tableTime(metadata?.createdTime)} UTC`],
      ["Credentials", printable(credentialNames(provider).join(", ") || "-")],
      ...ends,
      ...Object.entries(config).map(([key, value]): [string, string] => [printable(key), printable(value)]),
    ],
    style,
  );
}

/** `SOURCE_CONTROL` → `source_control`. */
function category({ category }: ProviderProfile): string {
  return (ProviderProfileCategory[category] ?? "other").toLowerCase();
}

function places({ endpoints }: ProviderProfile): string[] {
  return endpoints.map(({ host, ports, port, path }) => `${host}:${(ports.length > 0 ? ports : [port]).join(",")}${path}`);
}

/** What json and yaml show of a kind of provider. */
export function profileData(profile: ProviderProfile): Record<string, unknown> {
  return {
    id: profile.id,
    display_name: profile.displayName,
    description: profile.description,
    category: category(profile),
    inference_capable: profile.inferenceCapable,
    credentials: profile.credentials.map((credential) => ({
      name: credential.name,
      env_vars: credential.envVars,
      required: credential.required,
      ...(credential.authStyle === "" ? {} : { auth_style: credential.authStyle }),
      ...(credential.headerName === "" ? {} : { header_name: credential.headerName }),
      ...(credential.queryParam === "" ? {} : { query_param: credential.queryParam }),
      ...(credential.pathTemplate === "" ? {} : { path_template: credential.pathTemplate }),
    })),
    endpoints: profile.endpoints.map(({ host, ports, protocol, path }) => ({
      host,
      ports,
      ...(protocol === "" ? {} : { protocol }),
      ...(path === "" ? {} : { path }),
    })),
    binaries: profile.binaries.map(({ path }) => path),
    source: profile.source,
  };
}

export function profileTable(profiles: readonly ProviderProfile[], style: Style): string {
  return renderTable(
    ["TYPE", "CATEGORY", "CREDENTIALS", "ENDPOINTS"],
    profiles.map((profile) => {
      const hosts = places(profile);
      const more = hosts.length > 2 ? `, and ${hosts.length - 2} more` : "";
      const variables = profile.credentials.flatMap(({ envVars }) => envVars);
      return [profile.id, category(profile), variables.join(", ") || "-", `${hosts.slice(0, 2).join(", ")}${more}` || "-"];
    }),
    style,
  );
}
