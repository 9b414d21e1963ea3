import { isIP } from "node:net";
import { OpenShellError } from "../../../error.ts";
import { type CreateSandboxRequest, SandboxRestartPolicy, type SandboxSpec } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import {
  atMost,
  checkEntries,
  checkLabels,
  checkNoNul,
  invalid,
  MAX_CIDRS,
  MAX_ENTRIES,
  MAX_LOG_LEVEL_LENGTH,
  MAX_MAIN_ARGS,
  MAX_MAIN_ARGV_BYTES,
  MAX_MOUNTS,
  MAX_PROVIDERS,
  MAX_STRUCT_BYTES,
  MAX_TEMPLATE_STRING,
} from "./limits.ts";
import { resourceLimits } from "./resources.ts";

/** Everything about a create request that needs no look at the host or the store. Throws `invalid_argument`, or `unimplemented` for what waits. */
export function validateCreate(request: CreateSandboxRequest): SandboxSpec {
  const { spec } = request;
  if (spec === undefined) throw invalid("spec", "is required");
  checkLabels("labels", request.labels);
  atMost("annotations", Object.keys(request.annotations).length, MAX_ENTRIES, "entries");
  checkEntries("annotations", request.annotations);
  atMost("spec.log_level", spec.logLevel.length, MAX_LOG_LEVEL_LENGTH, "characters");
  atMost("spec.providers", spec.providers.length, MAX_PROVIDERS, "entries");
  checkUserEnvironment("spec.environment", spec.environment);
  checkCommand(spec.command);
  checkTemplate(spec);
  if (SandboxRestartPolicy[spec.restartPolicy] === undefined) throw invalid("spec.restart_policy", `${spec.restartPolicy} is not known`);
  resourceLimits(spec);
  atMost("spec.mounts", spec.mounts.length, MAX_MOUNTS, "entries");
  atMost("spec.trusted_cidrs", spec.trustedCidrs.length, MAX_CIDRS, "entries");
  for (const [index, cidr] of spec.trustedCidrs.entries()) checkCidr(`spec.trusted_cidrs[${index}]`, cidr);
  atMost("spec.internal_domains", spec.internalDomains.length, MAX_CIDRS, "entries");
  for (const [index, domain] of spec.internalDomains.entries()) checkDomain(`spec.internal_domains[${index}]`, domain);
  if (request.workloadTemplate !== "") throw waiting("workload templates");
  if (request.serviceExposures.length > 0) throw waiting("service exposures");
  if (spec.resourceRequirements?.gpu !== undefined) throw new OpenShellError("failed_precondition", "the local driver has no GPUs to give");
  return spec;
}

/** `openshell …` variables are ours to set; a user's would be overwritten silently, so they are refused. */
export function checkUserEnvironment(field: string, environment: Readonly<Record<string, string>>): void {
  checkEntries(field, environment);
  for (const [key, value] of Object.entries(environment)) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) throw invalid(field, `'${key}' is not a variable name`);
    if (key.startsWith("OPENSHELL_")) throw invalid(field, `'${key}': names that begin with OPENSHELL_ are reserved`);
    checkNoNul(`${field}[${key}]`, value);
  }
}

export function checkCidr(field: string, cidr: string): void {
  const [address = "", bits, ...more] = cidr.split("/");
  const version = isIP(address);
  const width = version === 6 ? 128 : 32;
  if (version === 0 || more.length > 0) throw invalid(field, `'${cidr}' is not a CIDR such as 10.0.0.0/8`);
  if (bits !== undefined && (!/^\d{1,3}$/.test(bits) || Number(bits) > width))
    throw invalid(field, `'${cidr}' has a prefix length outside 0..${width}`);
}

export function checkDomain(field: string, domain: string): void {
  const label = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
  if (domain.length > 253 || !new RegExp(`^\\.?(${label}\\.)*${label}$`, "i").test(domain))
    throw invalid(field, `'${domain}' is not a domain name`);
}

function checkCommand(command: readonly string[]): void {
  atMost("spec.command", command.length, MAX_MAIN_ARGS, "arguments");
  atMost(
    "spec.command",
    command.reduce((sum, arg) => sum + Buffer.byteLength(arg) + 1, 0),
    MAX_MAIN_ARGV_BYTES,
    "bytes",
  );
  if (command[0] === "") throw invalid("spec.command[0]", "is empty");
  for (const [index, arg] of command.entries()) checkNoNul(`spec.command[${index}]`, arg);
}

function checkTemplate({ template }: SandboxSpec): void {
  if (template === undefined) return;
  atMost("spec.template.image", template.image.length, MAX_TEMPLATE_STRING, "characters");
  atMost("spec.template.runtime_class_name", template.runtimeClassName.length, MAX_TEMPLATE_STRING, "characters");
  atMost("spec.template.agent_socket", template.agentSocket.length, MAX_TEMPLATE_STRING, "characters");
  checkEntries("spec.template.labels", template.labels);
  checkEntries("spec.template.annotations", template.annotations);
  checkUserEnvironment("spec.template.environment", template.environment);
  for (const name of ["resources", "driverConfig"] as const) {
    atMost(`spec.template.${name}`, Buffer.byteLength(JSON.stringify(template[name] ?? {})), MAX_STRUCT_BYTES, "bytes");
  }
  if (template.image !== "")
    throw new OpenShellError("unimplemented", "the local driver runs on the host's own programs; images come with the container drivers");
}

function waiting(what: string): OpenShellError {
  return new OpenShellError("unimplemented", `${what} are not available in this version of OpenShell`);
}
