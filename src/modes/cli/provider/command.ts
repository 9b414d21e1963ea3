import { create as message } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Command, defineCommand } from "../../../command/define.ts";
import { outputArg, print } from "../../../command/output.ts";
import { printable } from "../../../command/printable.ts";
import { EXIT_OK, reportError } from "../../../command/report.ts";
import { usageError } from "../../../command/usage-error.ts";
import { pairsValue } from "../../../command/values.ts";
import { OpenShellError } from "../../../error.ts";
import { fromConnectError } from "../../../rpc/errors.ts";
import { type Provider, WorkspaceSelectorSchema } from "../../../rpc/gen/openshell/datamodel/v1/datamodel_pb.ts";
import type { ProviderProfile } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { CALL_TIMEOUT_MS, type Gateway, withGateway } from "../connection/gateway.ts";
import { credentialsOf, discover } from "./secrets.ts";
import { profileData, profileTable, providerData, providerDetails, providerTable } from "./view.ts";

const options = { timeoutMs: CALL_TIMEOUT_MS };
/** One page; the gateway's maximum, so that a list takes few calls. */
const PAGE_SIZE = 1000;

const provider = { type: "positional", valueHint: "PROVIDER", description: "Provider" } as const;
const credential = {
  type: "string",
  multiple: true,
  valueHint: "KEY[=VALUE]",
  description: "Secret by the variable that programs read; KEY alone takes the value of the variable here",
} as const;
const config = {
  type: "string",
  multiple: true,
  valueHint: "KEY=VALUE",
  description: "Setting that is no secret, such as a base URL",
} as const;
const fromExisting = { type: "boolean", description: "Take the credentials from the variables that are set here" } as const;

/** Of published clients; what they ask for comes with the refreshing of credentials. */
const waiting = { type: "boolean", hidden: true, description: "Not available yet" } as const;

function notYet(flag: string): OpenShellError {
  return new OpenShellError(
    "unimplemented",
    `--${flag} is not available in this version of OpenShell: a provider has its credentials from the start`,
    {
      next: "--credential KEY=VALUE, and openshell provider update when it changes",
    },
  );
}

async function profileOf(type: string, { client, scope }: Gateway): Promise<ProviderProfile> {
  const { profile } = await client.getProviderProfile({ workspaceScope: scope, id: type }, options);
  if (profile === undefined) throw new OpenShellError("internal", "the gateway answered without a profile");
  return profile;
}

/** Every provider of the workspace. */
export async function listProviders({ client, scope }: Gateway, timeoutMs = CALL_TIMEOUT_MS): Promise<Provider[]> {
  const found: Provider[] = [];
  let pageToken = "";
  do {
    const page = await client.listProviders({ workspaceScope: scope, pageSize: PAGE_SIZE, pageToken }, { timeoutMs });
    found.push(...page.providers);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return found;
}

const CREATE = ["openshell", "provider", "create"];

const create = defineCommand({
  meta: {
    name: "create",
    description: "Keep the credentials of a service, for sandboxes to use without seeing them",
    examples: [
      "openshell provider create --name github --type github --from-existing",
      "openshell provider create --name claude --type claude-code --credential ANTHROPIC_API_KEY",
      "openshell provider create --name shop --type generic --credential SHOP_TOKEN",
    ],
  },
  args: {
    name: { type: "string", valueHint: "NAME", description: "Name; one is made up when left out" },
    type: { type: "string", required: true, valueHint: "TYPE", description: "Kind of service; see provider list-profiles" },
    credential,
    "from-existing": fromExisting,
    "from-gcloud-adc": waiting,
    "runtime-credentials": waiting,
    // Of published clients: take the kind from those of every workspace, as all of them are here.
    "global-profile": { type: "boolean", hidden: true, description: "Changes nothing: every kind is one for all workspaces" },
    config,
    output: outputArg,
  },
  run: async ({ args, terminal, globals }) => {
    for (const flag of ["from-gcloud-adc", "runtime-credentials"] as const) if (args[flag]) throw notYet(flag);
    if (args["from-existing"] && args.credential.length > 0)
      throw usageError("'--from-existing' and '--credential' exclude each other", CREATE);
    const given = credentialsOf(args.credential, terminal.env, CREATE);
    const settings = pairsValue("--config", args.config, CREATE);
    return withGateway({ globals, terminal }, async (gateway) => {
      const credentials = args["from-existing"] ? discover(await profileOf(args.type, gateway), terminal.env) : given;
      const message = { metadata: { name: args.name ?? "" }, type: args.type, credentials, config: settings };
      const { provider: made } = await gateway.client.createProvider({ workspaceScope: gateway.scope, provider: message }, options);
      if (made === undefined) throw new OpenShellError("internal", "the gateway answered without a provider");
      const name = printable(made.metadata?.name ?? "");
      const keys = Object.keys(made.credentials).map(printable).join(", ");
      const table = () =>
        `${terminal.style.green("✓")} Created provider '${name}'${keys === "" ? "" : ` with ${keys}`}\n  openshell sandbox create --provider ${name} -- COMMAND\n`;
      await print(args.output, { data: providerData(made), names: [made.metadata?.name ?? ""], table }, terminal);
      return undefined;
    });
  },
});

const get = defineCommand({
  meta: { name: "get", description: "Show a provider; never a secret", examples: ["openshell provider get github"] },
  args: { provider, output: outputArg },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async ({ client, scope }) => {
      const { provider: found } = await client.getProvider({ workspaceScope: scope, name: args.provider }, options);
      if (found === undefined) throw new OpenShellError("internal", "the gateway answered without a provider");
      const table = () => providerDetails(found, terminal.style);
      await print(args.output, { data: providerData(found), names: [args.provider], table }, terminal);
      return undefined;
    }),
});

/** More than any gateway holds. */
const MAX_LIST = 1_000_000;
const EVERY_WORKSPACE = message(WorkspaceSelectorSchema, { selection: { case: "allWorkspaces", value: {} } });

const list = defineCommand({
  meta: {
    name: "list",
    description: "List providers",
    examples: ["openshell provider list", "openshell provider list --names", "openshell provider list --limit 10 --offset 20 -o json"],
  },
  args: {
    limit: { type: "string", integer: { min: 1, max: MAX_LIST }, valueHint: "N", description: "At most this many; all when left out" },
    offset: { type: "string", integer: { min: 0, max: MAX_LIST, default: 0 }, valueHint: "N", description: "Leave out the first ones" },
    "all-workspaces": { type: "boolean", description: "Of every workspace" },
    names: { type: "boolean", description: "Names only, one per line" },
    output: outputArg,
  },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async (gateway) => {
      const most = args.limit === undefined ? Number.POSITIVE_INFINITY : args.offset + args.limit;
      const workspaces = args["all-workspaces"] ?? false;
      const scope = workspaces ? EVERY_WORKSPACE : gateway.scope;
      const providers = (await listProviders({ ...gateway, scope })).slice(args.offset, most);
      const names = providers.map(({ metadata }) => metadata?.name ?? "");
      const table = () => providerTable(providers, terminal.style, workspaces);
      await print(args.names ? "name" : args.output, { data: providers.map(providerData), names, table }, terminal);
      return undefined;
    }),
});

const UPDATE = ["openshell", "provider", "update"];

const update = defineCommand({
  meta: {
    name: "update",
    description: "Change credentials and settings; sandboxes use the new ones from their next request on",
    examples: [
      "openshell provider update github --credential GITHUB_TOKEN",
      "openshell provider update github --from-existing",
      "openshell provider update openai --config OPENAI_BASE_URL=   # removes the setting",
    ],
  },
  args: {
    provider,
    credential,
    "from-existing": fromExisting,
    config,
    "remove-credential": { type: "string", multiple: true, valueHint: "KEY", description: "Forget this secret" },
    "credential-expires-at": {
      type: "string",
      multiple: true,
      valueHint: "KEY=TIME",
      description: "When a credential ends: 2026-12-31T00:00:00Z, or seconds since 1970",
    },
  },
  run: async ({ args, terminal, globals }) => {
    if (args["from-existing"] && args.credential.length > 0)
      throw usageError("'--from-existing' and '--credential' exclude each other", UPDATE);
    const given = credentialsOf(args.credential, terminal.env, UPDATE);
    const settings = pairsValue("--config", args.config, UPDATE);
    const credentialExpirationTimes = expirations(args["credential-expires-at"]);
    return withGateway({ globals, terminal }, async (gateway) => {
      const { client, scope } = gateway;
      let changed = given;
      if (args["from-existing"]) {
        const { provider: before } = await client.getProvider({ workspaceScope: scope, name: args.provider }, options);
        changed = discover(await profileOf(before?.type ?? "", gateway), terminal.env);
      }
      const removed = Object.fromEntries(args["remove-credential"].map((key) => [key, ""]));
      const message = { metadata: { name: args.provider }, credentials: { ...changed, ...removed }, config: settings };
      await client.updateProvider({ workspaceScope: scope, provider: message, credentialExpirationTimes }, options);
      terminal.out(`${terminal.style.green("✓")} Updated provider '${printable(args.provider)}'\n`);
      return EXIT_OK;
    });
  },
});

function expirations(words: readonly string[]): Record<string, Timestamp> {
  const pairs = Object.entries(pairsValue("--credential-expires-at", words, UPDATE));
  return Object.fromEntries(
    pairs.map(([key, text]) => {
      const date = new Date(/^\d{1,12}$/.test(text) ? Number(text) * 1000 : text);
      if (Number.isNaN(date.getTime()))
        throw usageError(`'--credential-expires-at' is '${key}=${text}', expected KEY=2026-12-31T00:00:00Z`, UPDATE);
      return [key, timestampFromDate(date)];
    }),
  );
}

const remove = defineCommand({
  meta: { name: "delete", description: "Forget providers and their secrets", examples: ["openshell provider delete github"] },
  args: { providers: { type: "positional", multiple: true, valueHint: "PROVIDER", description: "Providers" } },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async ({ client, scope }) => {
      let code = EXIT_OK;
      for (const name of args.providers) {
        try {
          await client.deleteProvider({ workspaceScope: scope, name }, options);
          terminal.out(`${terminal.style.green("✓")} Deleted provider '${printable(name)}'\n`);
        } catch (reason) {
          if (args.providers.length === 1) throw reason;
          code = reportError(fromConnectError(reason), terminal);
        }
      }
      return code;
    }),
});

const listProfiles = defineCommand({
  meta: {
    name: "list-profiles",
    description: "List the kinds of services that are known, and what each gives a sandbox",
    examples: ["openshell provider list-profiles"],
  },
  args: { global: { type: "boolean", description: "Those of every workspace, which all are" }, output: outputArg },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async ({ client, scope }) => {
      const { profiles } = await client.listProviderProfiles({ workspaceScope: scope, pageSize: PAGE_SIZE }, options);
      const table = () => profileTable(profiles, terminal.style);
      await print(args.output, { data: profiles.map(profileData), names: profiles.map(({ id }) => id), table }, terminal);
      return undefined;
    }),
});

const exportProfile = defineCommand({
  meta: { name: "export", description: "Show one kind of service in full", examples: ["openshell provider profile export github"] },
  args: {
    id: { type: "positional", valueHint: "TYPE", description: "Kind of service" },
    output: { ...outputArg, default: "yaml" },
  },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async (gateway) => {
      const profile = await profileOf(args.id, gateway);
      await print(
        args.output,
        { data: profileData(profile), names: [profile.id], table: () => profileTable([profile], terminal.style) },
        terminal,
      );
      return undefined;
    }),
});

/** `provider …` */
export const providers: Command = defineCommand({
  meta: {
    name: "provider",
    description: "Credentials of services, for sandboxes to use without seeing them",
    examples: ["openshell provider create --name github --type github --from-existing"],
  },
  subCommands: {
    create,
    get,
    list,
    update,
    delete: remove,
    "list-profiles": listProfiles,
    profile: defineCommand({
      meta: { name: "profile", description: "Kinds of services", examples: ["openshell provider profile export github"] },
      subCommands: { export: exportProfile },
    }),
  },
});
