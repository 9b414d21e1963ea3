import { parse } from "yaml";
import agentCoding from "../../../../policies/templates/agent-coding.yaml" with { type: "text" };
import nodeDev from "../../../../policies/templates/node-dev.yaml" with { type: "text" };
import pythonDev from "../../../../policies/templates/python-dev.yaml" with { type: "text" };
import { OpenShellError } from "../../../error.ts";
import { POLICY_VERSION, restrictiveDefault } from "../../../policy/defaults.ts";
import type { Policy } from "../../../policy/model.ts";
import { parsePolicyYaml } from "../../../policy/yaml.ts";
import { type IndexKind, packageIndex } from "./indexes.ts";

/** One file of policies/templates: network rules in the words of a policy, with `{npm-registry}` and the like for a host. */
interface Template {
  readonly description: string;
  readonly includes?: readonly string[];
  readonly rules: Readonly<Record<string, TemplateRule>>;
}

interface TemplateRule {
  readonly endpoints: readonly { readonly host: string; readonly port: number }[];
  readonly binaries: readonly unknown[];
}

const FILES: Readonly<Record<string, string>> = { "agent-coding": agentCoding, "node-dev": nodeDev, "python-dev": pythonDev };

/** Names and descriptions, for `policy templates`. */
export function listTemplates(): { readonly name: string; readonly description: string }[] {
  return Object.keys(FILES).map((name) => ({ name, description: read(name).description }));
}

/** The policy of one or several templates (`python-dev,node-dev`): the restrictive default and all of their rules. */
export function templatePolicy(names: string, env: Readonly<Record<string, string | undefined>>): Policy {
  const rules: Record<string, TemplateRule> = {};
  const add = (name: string): void => {
    const { includes = [], rules: own } = read(name);
    includes.forEach(add);
    Object.assign(rules, own);
  };
  for (const name of names.split(",")) add(name.trim());
  const places = new Map<string, { host: string; port: number }>();
  const network = Object.fromEntries(
    Object.entries(rules).map(([key, rule]) => [
      key,
      { ...rule, endpoints: distinct(rule.endpoints.map((endpoint) => placed(endpoint, places, env))) },
    ]),
  );
  const text = JSON.stringify({ version: POLICY_VERSION, network_policies: network });
  return { ...restrictiveDefault(), networkPolicies: parsePolicyYaml(text, { source: `template ${names}` }).networkPolicies };
}

function read(name: string): Template {
  const text = Object.hasOwn(FILES, name) ? FILES[name] : undefined;
  if (text !== undefined) return parse(text) as Template;
  throw new OpenShellError("invalid_argument", `there is no policy template '${name}'; there are ${Object.keys(FILES).join(", ")}`, {
    next: "openshell policy templates",
  });
}

function placed<E extends { readonly host: string }>(
  endpoint: E,
  known: Map<string, { host: string; port: number }>,
  env: Readonly<Record<string, string | undefined>>,
): E {
  const kind = /^\{(.+)\}$/.exec(endpoint.host)?.[1];
  if (kind === undefined) return endpoint;
  const place = known.get(kind) ?? packageIndex(kind as IndexKind, env);
  known.set(kind, place);
  return { ...endpoint, ...place };
}

/** A mirror serves index and files at one place. */
function distinct<E>(endpoints: readonly E[]): E[] {
  return [...new Map(endpoints.map((endpoint) => [JSON.stringify(endpoint), endpoint])).values()];
}
