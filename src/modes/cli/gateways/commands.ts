import { defineCommand } from "../../../command/define.ts";
import { outputArg, print } from "../../../command/output.ts";
import { printable } from "../../../command/printable.ts";
import { renderFields, renderTable } from "../../../command/table.ts";
import { OpenShellError } from "../../../error.ts";
import { chosenGateway } from "../connection/gateway.ts";
import {
  activeGateway,
  addRegistration,
  findRegistration,
  listRegistrations,
  removeRegistration,
  selectGateway,
} from "../connection/registry.ts";
import { checkEndpoint, START_GATEWAY } from "../connection/target.ts";
import { readInputFile } from "../policy/file.ts";

const optionalGateway = {
  type: "positional",
  required: false,
  valueHint: "NAME",
  description: "Gateway; the active one when left out",
} as const;

export const list = defineCommand({
  meta: { name: "list", description: "List registered gateways", examples: ["openshell gateway list"] },
  args: { output: outputArg },
  run: async ({ args, terminal }) => {
    const active = activeGateway(terminal.env);
    const found = listRegistrations(terminal.env);
    const data = found.map(({ name, endpoint, authMode, system }) => ({
      name,
      endpoint,
      auth_mode: authMode,
      system,
      active: name === active,
    }));
    const table = () =>
      found.length === 0
        ? `No gateways found.\nNext: ${START_GATEWAY}\n`
        : renderTable(
            ["NAME", "ENDPOINT", "AUTH", "SCOPE", "ACTIVE"],
            found.map((g) => [
              g.name,
              g.endpoint,
              g.authMode,
              g.system ? "machine" : "user",
              g.name === active ? { text: "*", color: terminal.style.green } : "",
            ]),
            terminal.style,
          );
    await print(args.output, { data, names: found.map(({ name }) => name), table }, terminal);
    return undefined;
  },
});

export const select = defineCommand({
  meta: { name: "select", description: "Make a gateway the one that commands use", examples: ["openshell gateway select openshell"] },
  args: { name: { type: "positional", required: false, valueHint: "NAME", description: "Gateway; left out, the active one is named" } },
  run: ({ args, terminal }) => {
    if (args.name === undefined) {
      const active = activeGateway(terminal.env);
      if (active === undefined) throw new OpenShellError("failed_precondition", "no gateway is active", { next: "openshell gateway list" });
      terminal.out(`${printable(active)}\n`);
      return undefined;
    }
    if (findRegistration(args.name, terminal.env) === undefined) {
      const names = listRegistrations(terminal.env).map(({ name }) => name);
      throw new OpenShellError(
        "not_found",
        `gateway '${args.name}' is not registered${names.length === 0 ? "" : ` (registered: ${names.join(", ")})`}`,
        {
          next: names.length === 0 ? START_GATEWAY : "openshell gateway list",
        },
      );
    }
    selectGateway(args.name, terminal.env);
    terminal.out(`${terminal.style.green("✓")} Gateway '${printable(args.name)}' is active\n`);
    return undefined;
  },
});

export const info = defineCommand({
  meta: { name: "info", description: "Show how a gateway is registered", examples: ["openshell gateway info"] },
  args: { name: optionalGateway, output: outputArg },
  run: async ({ args, terminal, globals }) => {
    const target = chosenGateway({ globals: args.name === undefined ? globals : { gateway: args.name }, terminal });
    const registered = findRegistration(target.name, terminal.env);
    const authMode = registered?.authMode ?? (target.endpoint.startsWith("https:") ? "mtls" : "plaintext");
    const fields: [string, string][] = [
      ["Name", printable(target.name)],
      ["Endpoint", printable(target.endpoint)],
      ["Auth", printable(authMode)],
      ["Files", printable(target.directory)],
      ["Active", activeGateway(terminal.env) === target.name ? "yes" : "no"],
    ];
    const data = { name: target.name, gateway_endpoint: target.endpoint, auth_mode: authMode, directory: target.directory };
    await print(args.output, { data, names: [target.name], table: () => renderFields(fields, terminal.style) }, terminal);
    return undefined;
  },
});

export const add = defineCommand({
  meta: {
    name: "add",
    description: "Register a gateway",
    examples: ["openshell gateway add https://gw.example.test:17670 --name east --ca ca.crt --cert tls.crt --key tls.key"],
  },
  args: {
    endpoint: { type: "positional", valueHint: "URL", description: "Address of the gateway" },
    name: { type: "string", valueHint: "NAME", description: "Name; the host when left out" },
    ca: { type: "string", valueHint: "FILE", description: "Certificate authority to trust, PEM; needed with https" },
    cert: { type: "string", valueHint: "FILE", description: "Client certificate, PEM" },
    key: { type: "string", valueHint: "FILE", description: "Its key, PEM" },
    // Of published clients: a gateway is on this machine when its address is.
    local: { type: "boolean", hidden: true, description: "Changes nothing" },
  },
  run: ({ args, terminal }) => {
    const url = checkEndpoint(args.endpoint);
    const name = args.name ?? url.hostname.replace(/[^A-Za-z0-9._-]/g, "_");
    if ((args.cert === undefined) !== (args.key === undefined))
      throw new OpenShellError("invalid_argument", "--cert and --key go together");
    if (url.protocol === "https:" && args.ca === undefined) {
      throw new OpenShellError("invalid_argument", "flag '--ca' is required with https", {
        next: "pass the gateway's CA certificate: --ca FILE",
      });
    }
    if (url.protocol === "http:" && args.ca !== undefined) throw new OpenShellError("invalid_argument", "--ca needs an https:// endpoint");
    if (findRegistration(name, terminal.env) !== undefined) {
      throw new OpenShellError("already_exists", `gateway '${name}' is registered already`, {
        next: `openshell gateway remove ${name}, or another --name`,
      });
    }
    const certificates =
      args.ca === undefined
        ? undefined
        : {
            ca: readInputFile(args.ca),
            ...(args.cert === undefined || args.key === undefined ? {} : { cert: readInputFile(args.cert), key: readInputFile(args.key) }),
          };
    addRegistration(name, url.origin, certificates, terminal.env);
    if (activeGateway(terminal.env) === undefined) selectGateway(name, terminal.env);
    terminal.out(`${terminal.style.green("✓")} Registered gateway '${printable(name)}'\n`);
    return undefined;
  },
});

export const remove = defineCommand({
  meta: { name: "remove", description: "Forget a gateway; it goes on running", examples: ["openshell gateway remove east"] },
  args: { name: optionalGateway },
  run: ({ args, terminal }) => {
    const name = args.name ?? activeGateway(terminal.env);
    if (name === undefined)
      throw new OpenShellError("invalid_argument", "argument NAME is missing, and no gateway is active", {
        next: "openshell gateway list",
      });
    removeRegistration(name, terminal.env);
    terminal.out(`${terminal.style.green("✓")} Removed gateway '${printable(name)}'\n`);
    return undefined;
  },
});
