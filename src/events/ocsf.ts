import { VERSION } from "../version.ts";
import type {
  Actor,
  ConfigEvent,
  FindingEvent,
  HttpEvent,
  InferenceDetails,
  LifecycleEvent,
  NetworkEvent,
  ProcessEvent,
  SecurityEvent,
  Severity,
  SqlEvent,
} from "./event.ts";
import { sanitiseCommandLine } from "./sanitise.ts";

/** The schema that the records follow: https://schema.ocsf.io/1.8.0 */
export const OCSF_VERSION = "1.8.0";

/** Where an event happened; the same for every event of one supervisor. */
export interface OcsfContext {
  readonly sandboxId: string;
  readonly sandboxName: string;
  readonly hostname?: string;
}

/** `class_uid` by kind of event; the category is its first digit. */
const classes = {
  network: { uid: 4001, name: "Network Activity", category: "Network Activity" },
  http: { uid: 4002, name: "HTTP Activity", category: "Network Activity" },
  sql: { uid: 6005, name: "Datastore Activity", category: "Application Activity" },
  process: { uid: 1007, name: "Process Activity", category: "System Activity" },
  finding: { uid: 2004, name: "Detection Finding", category: "Findings" },
  config: { uid: 5019, name: "Device Config State Change", category: "Discovery" },
  lifecycle: { uid: 6002, name: "Application Lifecycle", category: "Application Activity" },
} as const;

const severityId: Readonly<Record<Severity, number>> = { informational: 1, low: 2, medium: 3, high: 4, critical: 5, fatal: 6 };
const severityName: Readonly<Record<Severity, string>> = {
  informational: "Informational",
  low: "Low",
  medium: "Medium",
  high: "High",
  critical: "Critical",
  fatal: "Fatal",
};

type Activity = readonly [id: number, name: string];

const networkActivity: Readonly<Record<NetworkEvent["activity"], Activity>> = {
  open: [1, "Open"],
  close: [2, "Close"],
  fail: [4, "Fail"],
  refuse: [5, "Refuse"],
};
const processActivity: Readonly<Record<ProcessEvent["activity"], Activity>> = { launch: [1, "Launch"], terminate: [2, "Terminate"] };
const lifecycleActivity: Readonly<Record<LifecycleEvent["activity"], Activity>> = {
  start: [3, "Start"],
  stop: [4, "Stop"],
  ready: [6, "Enable"],
};
const httpMethods: ReadonlyMap<string, Activity> = new Map<string, Activity>([
  ["CONNECT", [1, "Connect"]],
  ["DELETE", [2, "Delete"]],
  ["GET", [3, "Get"]],
  ["HEAD", [4, "Head"]],
  ["OPTIONS", [5, "Options"]],
  ["POST", [6, "Post"]],
  ["PUT", [7, "Put"]],
  ["TRACE", [8, "Trace"]],
  ["PATCH", [9, "Patch"]],
]);

function activityOf(event: SecurityEvent): Activity {
  switch (event.kind) {
    case "network":
      return networkActivity[event.activity];
    case "http":
      return httpMethods.get(event.method) ?? [99, "Other"];
    case "sql":
      return [4, "Query"];
    case "process":
      return processActivity[event.activity];
    case "config":
      return [1, "Log"];
    case "finding":
      return [1, "Create"];
    case "lifecycle":
      return lifecycleActivity[event.activity];
  }
}

/** One event as an OCSF record, ready for `JSON.stringify`. `time` is in milliseconds since the epoch, as the schema asks. */
export function toOcsf(event: SecurityEvent, context: OcsfContext): object {
  const { uid, name, category } = classes[event.kind];
  const [activityId, activityName] = activityOf(event);
  return {
    class_uid: uid,
    class_name: name,
    category_uid: Math.floor(uid / 1000),
    category_name: category,
    activity_id: activityId,
    activity_name: activityName,
    type_uid: uid * 100 + activityId,
    type_name: `${name}: ${activityName}`,
    time: event.time,
    severity_id: severityId[event.severity],
    severity: severityName[event.severity],
    metadata: { version: OCSF_VERSION, product: { name: "OpenShell Sandbox Supervisor", vendor_name: "OpenShell", version: VERSION } },
    container: { uid: context.sandboxId, name: context.sandboxName },
    device: { type_id: 6, type: "Virtual", hostname: context.hostname ?? context.sandboxName },
    ...details(event),
  };
}

function details(event: SecurityEvent): object {
  switch (event.kind) {
    case "network":
      return { ...networkDetails(event), ...verdict(event) };
    case "http":
      return { ...httpDetails(event), ...verdict(event) };
    case "sql":
      return { ...sqlDetails(event), ...verdict(event) };
    case "process":
      return processDetails(event);
    case "config":
      return configDetails(event);
    case "finding":
      return findingDetails(event);
    case "lifecycle":
      return { message: event.message, status_id: 1, status: "Success", app: { name: "openshell", version: VERSION } };
  }
}

function networkDetails(event: NetworkEvent): object {
  return {
    connection_info: {
      direction_id: 2,
      direction: "Outbound",
      protocol_name: event.protocol,
      protocol_num: event.protocol === "tcp" ? 6 : 17,
    },
    dst_endpoint: { hostname: event.host, port: event.port, ...(event.address === undefined ? {} : { ip: event.address }) },
    ...actorDetails(event.actor),
  };
}

function httpDetails(event: HttpEvent): object {
  return {
    http_request: { http_method: event.method, url: { url_string: event.url, hostname: event.host, port: event.port } },
    dst_endpoint: { hostname: event.host, port: event.port },
    ...actorDetails(event.actor),
    ...(event.credentials === undefined ? {} : { unmapped: { credentials: event.credentials } }),
    ...(event.inference === undefined ? {} : inferenceDetails(event.inference)),
  };
}

/** The schema has no place for a model; what it has a place for is there. */
function inferenceDetails({ route, provider, model, protocol, status, inputTokens, outputTokens, durationMs }: InferenceDetails): object {
  return {
    http_response: { code: status },
    duration: durationMs,
    unmapped: { inference: { route, provider, model, protocol, input_tokens: inputTokens, output_tokens: outputTokens } },
  };
}

function sqlDetails(event: SqlEvent): object {
  return {
    type_id: 1,
    type: "Database",
    database: { type_id: 1, type: "Relational", name: event.database },
    query_info: { name: event.command },
    dst_endpoint: { hostname: event.host, port: event.port },
    ...actorDetails(event.actor),
  };
}

function actorDetails(actor: Actor | undefined): object {
  if (actor === undefined) return {};
  const hashes = actor.sha256 === undefined ? {} : { hashes: [{ algorithm_id: 3, algorithm: "SHA-256", value: actor.sha256 }] };
  return {
    actor: {
      process: {
        pid: actor.pid,
        file: { path: actor.binary, name: actor.binary.slice(actor.binary.lastIndexOf("/") + 1), type_id: 1, ...hashes },
        ...(actor.commandLine === undefined ? {} : { cmd_line: sanitiseCommandLine(actor.commandLine) }),
        ancestry: actor.ancestors.map((path) => ({ file: { path } })),
        ...(actor.writableCode === undefined ? {} : { xattributes: { writable_code: true } }),
      },
    },
  };
}

/** What was decided, by which rule and why. A fail after an allow is still allowed: the policy did not refuse it. */
function verdict(event: NetworkEvent | HttpEvent | SqlEvent): object {
  const allowed = event.action === "allowed";
  const failed = event.kind === "network" && event.activity === "fail";
  return {
    action_id: allowed ? 1 : 2,
    action: allowed ? "Allowed" : "Denied",
    disposition_id: allowed ? 1 : 2,
    disposition: allowed ? "Allowed" : "Blocked",
    status_id: allowed && !failed ? 1 : 2,
    status: allowed && !failed ? "Success" : "Failure",
    firewall_rule: { name: event.policy ?? "-", type: event.engine },
    ...(event.reason === undefined ? {} : { status_detail: event.reason }),
    ...(event.code === undefined ? {} : { status_code: event.code }),
    ...(event.stage === undefined ? {} : { unmapped: { denial_stage: event.stage } }),
  };
}

function processDetails(event: ProcessEvent): object {
  return {
    process: {
      name: event.name,
      pid: event.pid,
      ...(event.commandLine === undefined ? {} : { cmd_line: sanitiseCommandLine(event.commandLine) }),
    },
    ...(event.exitCode === undefined ? {} : { exit_code: event.exitCode }),
  };
}

function configDetails(event: ConfigEvent): object {
  const unmapped = {
    config_activity: event.activity,
    ...(event.version === undefined ? {} : { policy_version: event.version }),
    ...(event.hash === undefined ? {} : { policy_hash: event.hash }),
  };
  const failed = event.activity === "failed";
  return { message: event.message, status_id: failed ? 2 : 1, status: failed ? "Failure" : "Success", unmapped };
}

function findingDetails(event: FindingEvent): object {
  return {
    finding_info: { uid: event.id, title: event.title },
    evidences: [{ data: event.evidence }],
    ...(event.remediation === undefined ? {} : { remediation: { desc: event.remediation } }),
  };
}
