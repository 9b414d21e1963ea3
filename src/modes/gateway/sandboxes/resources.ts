import type { JsonObject } from "@bufbuild/protobuf";
import type { SandboxSpec } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { invalid } from "./limits.ts";

/** What the programs of one sandbox may use together, its supervisor not included; undefined: as much as the machine has. */
export interface ResourceLimits {
  /** Thousandths of a processor. */
  readonly cpuMillis?: number;
  readonly memoryBytes?: number;
  /** Processes and threads. */
  readonly pids?: number;
}

/** What a program starts from is ours for a moment (some 8 MB); below this no shell would start. */
const MIN_MEMORY = 16 * 1024 * 1024;
/** The kernel takes quotas from a hundredth of a processor. */
const MIN_CPU_MILLIS = 10;
/** A shell, what it starts, and a person who looks. */
const MIN_PIDS = 8;
/** The kernel's own limit of process ids. */
const MAX_PIDS = 4_194_304;

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** The limits of a spec: `template.resources.limits.{cpu,memory}` as Kubernetes writes them, and `pids_limit`. Throws `invalid_argument`. */
export function resourceLimits({ template, pidsLimit }: SandboxSpec): ResourceLimits {
  const field = "spec.template.resources";
  const resources = template?.resources ?? {};
  for (const key of Object.keys(resources)) if (key !== "limits" && key !== "requests") throw invalid(field, `'${key}' is not known`);
  const limits = object(`${field}.limits`, resources["limits"]);
  for (const key of Object.keys(limits))
    if (key !== "cpu" && key !== "memory") throw invalid(`${field}.limits`, `'${key}' cannot be limited here`);
  const cpuMillis = limits["cpu"] === undefined ? undefined : cpu(`${field}.limits.cpu`, limits["cpu"]);
  const memoryBytes = limits["memory"] === undefined ? undefined : memory(`${field}.limits.memory`, limits["memory"]);
  if (pidsLimit !== 0 && (pidsLimit < MIN_PIDS || pidsLimit > MAX_PIDS)) {
    throw invalid("spec.pids_limit", `is ${pidsLimit}, expected ${MIN_PIDS} to ${MAX_PIDS}`);
  }
  return {
    ...(cpuMillis === undefined ? {} : { cpuMillis }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(pidsLimit === 0 ? {} : { pids: pidsLimit }),
  };
}

function cpu(field: string, value: unknown): number {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)(m?)$/.exec(String(value));
  const millis = Math.round(Number(match?.[1]) * (match?.[2] === "m" ? 1 : 1000));
  if (match === null || millis < MIN_CPU_MILLIS) throw invalid(field, `'${value}' is not a number of processors such as 2, 0.5 or 500m`);
  return millis;
}

function memory(field: string, value: unknown): number {
  const match = /^(\d{1,15}(?:\.\d{1,3})?)([kMGT]|[KMGT]i|)$/.exec(String(value));
  const bytes = Math.floor(Number(match?.[1]) * (UNITS[match?.[2] ?? ""] ?? 1));
  if (match === null) throw invalid(field, `'${value}' is not a size such as 512Mi or 2G`);
  if (bytes < MIN_MEMORY) throw invalid(field, `'${value}' is less than the ${MIN_MEMORY / 2 ** 20}Mi that a sandbox needs to start`);
  return bytes;
}

function object(field: string, value: unknown): JsonObject {
  if (value === undefined) return {};
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(field, "is not an object");
  return value as JsonObject;
}
