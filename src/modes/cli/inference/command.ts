import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { type Command, defineCommand } from "../../../command/define.ts";
import { outputArg, print } from "../../../command/output.ts";
import { printable } from "../../../command/printable.ts";
import { EXIT_OK } from "../../../command/report.ts";
import { renderFields } from "../../../command/table.ts";
import { durationValue } from "../../../command/values.ts";
import { DEFAULT_ROUTE, SYSTEM_ROUTE } from "../../../inference/route.ts";
import type { GetInferenceRouteResponse, SetInferenceRouteResponse } from "../../../rpc/gen/openshell/inference/v1/inference_pb.ts";
import { DeletionOutcome } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { CALL_TIMEOUT_MS, type Gateway, withGateway } from "../connection/gateway.ts";

const options = { timeoutMs: CALL_TIMEOUT_MS };
/** The gateway asks the provider up to five small questions, each with its own limit. Milliseconds. */
const VERIFY_TIMEOUT_MS = 120_000;

const system = { type: "boolean", description: "The route of OpenShell's own questions, which programs cannot use" } as const;
const noVerify = { type: "boolean", description: "Do not ask the provider whether the route works" } as const;
const timeout = { type: "string", valueHint: "TIME", description: "Until an answer begins: 90s, 5m; 0 is 60s" } as const;

const routeOf = (isSystem: boolean | undefined): string => (isSystem ? SYSTEM_ROUTE : DEFAULT_ROUTE);

type Route = GetInferenceRouteResponse | SetInferenceRouteResponse;

function routeData(route: Route): Record<string, unknown> {
  return {
    route: route.routeName,
    provider: route.providerName,
    model: route.modelId,
    timeout_seconds: route.timeout === undefined ? 0 : durationMs(route.timeout) / 1000,
    version: Number(route.version),
    workspace: route.workspace,
    ...("validationPerformed" in route
      ? {
          validation_performed: route.validationPerformed,
          validated_endpoints: route.validatedEndpoints.map(({ url, protocol }) => ({ url, protocol })),
        }
      : {}),
  };
}

function routeFields(route: Route): [string, string][] {
  return [
    ["Route", printable(route.routeName)],
    ["Provider", printable(route.providerName)],
    ["Model", printable(route.modelId)],
    ["Timeout", `${route.timeout === undefined ? 0 : durationMs(route.timeout) / 1000} s`],
    ["Version", String(route.version)],
  ];
}

interface Change {
  readonly provider: string;
  readonly model: string;
  readonly system: boolean | undefined;
  readonly noVerify: boolean | undefined;
  /** Milliseconds. */
  readonly timeout: number;
}

async function change({ inference, scope }: Gateway, { provider, model, system: isSystem, noVerify: unverified, timeout: time }: Change) {
  const request = {
    ...{ workspaceScope: scope, routeName: routeOf(isSystem), providerName: provider, modelId: model },
    ...{ noVerify: unverified ?? false, timeout: durationFromMs(time) },
  };
  return await inference.setInferenceRoute(request, { timeoutMs: VERIFY_TIMEOUT_MS });
}

function said(route: SetInferenceRouteResponse): string {
  const endpoint = route.validatedEndpoints[0];
  return endpoint === undefined ? "not verified" : `verified at ${printable(endpoint.url)}`;
}

const SET = ["openshell", "inference", "set"];

const set = defineCommand({
  meta: {
    name: "set",
    description: "Say which model answers at https://inference.local in every sandbox; it takes effect at once",
    examples: [
      "openshell inference set --provider openai --model gpt-4.1",
      "openshell inference set --provider local --model llama3 --timeout 5m --no-verify",
      "openshell inference set --system --provider nvidia --model meta/llama-3.1-8b-instruct",
    ],
  },
  args: {
    provider: { type: "string", required: true, valueHint: "NAME", description: "Provider whose credential is used" },
    model: { type: "string", required: true, valueHint: "ID", description: "Model that every request gets" },
    system,
    "no-verify": noVerify,
    timeout,
    output: outputArg,
  },
  run: ({ args, terminal, globals }) => {
    const time = durationValue("--timeout", args.timeout ?? "0", SET);
    return withGateway({ globals, terminal }, async (gateway) => {
      const wanted = { provider: args.provider, model: args.model, system: args.system, noVerify: args["no-verify"], timeout: time };
      const route = await change(gateway, wanted);
      const table = () =>
        `${terminal.style.green("✓")} ${routeOf(args.system)} (${said(route)})\n${renderFields(routeFields(route), terminal.style)}`;
      await print(args.output, { data: routeData(route), names: [route.routeName], table }, terminal);
      return undefined;
    });
  },
});

const UPDATE = ["openshell", "inference", "update"];

const update = defineCommand({
  meta: {
    name: "update",
    description: "Change some of what is set",
    examples: ["openshell inference update --model gpt-4.1-mini", "openshell inference update --timeout 10m --no-verify"],
  },
  args: {
    provider: { type: "string", valueHint: "NAME", description: "Another provider" },
    model: { type: "string", valueHint: "ID", description: "Another model" },
    system,
    "no-verify": noVerify,
    timeout,
    output: outputArg,
  },
  run: ({ args, terminal, globals }) => {
    const given = args.timeout === undefined ? undefined : durationValue("--timeout", args.timeout, UPDATE);
    return withGateway({ globals, terminal }, async (gateway) => {
      const before = await gateway.inference.getInferenceRoute({ workspaceScope: gateway.scope, routeName: routeOf(args.system) }, options);
      const route = await change(gateway, {
        ...{ provider: args.provider ?? before.providerName, model: args.model ?? before.modelId },
        ...{ system: args.system, noVerify: args["no-verify"] },
        timeout: given ?? (before.timeout === undefined ? 0 : durationMs(before.timeout)),
      });
      const table = () =>
        `${terminal.style.green("✓")} ${routeOf(args.system)} (${said(route)})\n${renderFields(routeFields(route), terminal.style)}`;
      await print(args.output, { data: routeData(route), names: [route.routeName], table }, terminal);
      return undefined;
    });
  },
});

const get = defineCommand({
  meta: {
    name: "get",
    description: "Show which model answers",
    examples: ["openshell inference get", "openshell inference get --system -o json"],
  },
  args: { system, output: outputArg },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async ({ inference, scope }) => {
      const route = await inference.getInferenceRoute({ workspaceScope: scope, routeName: routeOf(args.system) }, options);
      const table = () => renderFields(routeFields(route), terminal.style);
      await print(args.output, { data: routeData(route), names: [route.routeName], table }, terminal);
      return undefined;
    }),
});

const remove = defineCommand({
  meta: {
    name: "delete",
    description: "Let no model answer; requests get 503",
    alias: "remove",
    examples: ["openshell inference delete", "openshell inference remove --system"],
  },
  args: { system, output: outputArg },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async ({ inference, scope }) => {
      const routeName = routeOf(args.system);
      const { outcome } = await inference.deleteInferenceRoute({ workspaceScope: scope, routeName, allowMissing: true }, options);
      const existed = outcome === DeletionOutcome.COMPLETED;
      const table = () => `${terminal.style.green("✓")} ${routeName} ${existed ? "is removed" : "was not set"}\n`;
      await print(args.output, { data: { route: routeName, deleted: existed }, names: [routeName], table }, terminal);
      return EXIT_OK;
    }),
});

/** `inference …`, and `cluster inference …` as it was called before. */
export const inference: Command = defineCommand({
  meta: {
    name: "inference",
    description: "Which model answers at https://inference.local inside sandboxes",
    examples: ["openshell inference set --provider openai --model gpt-4.1", "openshell inference get"],
  },
  subCommands: { set, update, get, delete: remove },
});
