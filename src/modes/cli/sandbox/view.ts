import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import { printable } from "../../../command/printable.ts";
import { type Cell, renderFields, renderTable } from "../../../command/table.ts";
import type { Style } from "../../../command/terminal.ts";
import { EndpointResult, type EndpointStatus, type Sandbox, SandboxPhase } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";

/** `READY` → `Ready`; a phase that this client does not know is shown by its number. */
export function phaseName(phase: SandboxPhase | undefined): string {
  const name = SandboxPhase[phase ?? SandboxPhase.UNSPECIFIED];
  return name === undefined ? `Phase${phase}` : name.charAt(0) + name.slice(1).toLowerCase();
}

/** ISO 8601, or nothing. */
export function isoTime(time: Timestamp | undefined): string | undefined {
  return time === undefined ? undefined : timestampDate(time).toISOString();
}

/** `YYYY-MM-DD HH:MM:SS` UTC, or `-`. */
export function tableTime(time: Timestamp | undefined): string {
  return isoTime(time)?.slice(0, 19).replace("T", " ") ?? "-";
}

/** What json and yaml show of a sandbox; the keys of the published client, then ours. */
export function sandboxData(sandbox: Sandbox): Record<string, unknown> {
  const { metadata, spec, status } = sandbox;
  return {
    id: metadata?.id ?? "",
    name: metadata?.name ?? "",
    workspace: metadata?.workspace ?? "",
    labels: metadata?.labels ?? {},
    annotations: metadata?.annotations ?? {},
    resource_version: Number(metadata?.resourceVersion ?? 0n),
    created_at: isoTime(metadata?.createdTime) ?? null,
    phase: phaseName(status?.phase),
    current_policy_version: status?.currentPolicyVersion ?? 0,
    ...(status?.configurationAdmission?.error ? { policy_error: status.configurationAdmission.error } : {}),
    command: spec?.command ?? [],
    providers: spec?.providers ?? [],
    ...(status?.exitCode === undefined ? {} : { exit_code: status.exitCode }),
    restart_count: status?.restartCount ?? 0,
    made_configuration: status?.madeConfiguration ?? [],
    host_key_fingerprint: sandbox.hostKeyFingerprint || null,
    conditions: (status?.conditions ?? []).map(({ type, status: state, reason, message, transitionTime }) => ({
      type,
      status: state,
      reason,
      message,
      transition_time: isoTime(transitionTime) ?? null,
    })),
    endpoints: (status?.endpointStatuses ?? []).map(({ endpointId, host, ports, path, lastResult, lastFailure, lastReportedTime }) => ({
      id: endpointId,
      host,
      ports,
      path,
      result: endpointResult(lastResult),
      failure: lastFailure?.code || null,
      reported_at: isoTime(lastReportedTime) ?? null,
    })),
    enforcement: (status?.enforcement ?? []).map(({ feature, requested, enforced, detail }) => ({ feature, requested, enforced, detail })),
  };
}

/** `TRANSPORT_FAILED` → `transport_failed`; one that this client does not know is shown by its number. */
function endpointResult(result: EndpointResult): string {
  return EndpointResult[result]?.toLowerCase() ?? `result_${result}`;
}

/** What was last seen of the policy's endpoints. */
function endpointTable(statuses: readonly EndpointStatus[], style: Style): string {
  return renderTable(
    ["ENDPOINT", "HOST", "RESULT", "REASON", "SEEN"],
    statuses.map(({ endpointId, host, ports, path, lastResult, lastFailure, lastReportedTime }) => [
      endpointId,
      `${host}:${ports.join(",")}${path}`,
      endpointResult(lastResult),
      lastFailure?.code ?? "",
      tableTime(lastReportedTime),
    ]),
    style,
  );
}

/** The colour of a phase. */
export function phaseCell(phase: SandboxPhase | undefined, style: Style): Cell {
  const text = phaseName(phase);
  if (phase === SandboxPhase.READY || phase === SandboxPhase.COMPLETED) return { text, color: style.green };
  if (phase === SandboxPhase.PROVISIONING || phase === SandboxPhase.STARTING) return { text, color: style.yellow };
  if (phase === SandboxPhase.ERROR) return { text, color: style.red };
  return { text, color: style.dim };
}

/** NAME, CREATED, PHASE, as the published client prints them; with the workspace first when there may be several. */
export function sandboxTable(sandboxes: readonly Sandbox[], style: Style, workspaces = false): string {
  if (sandboxes.length === 0) return "No sandboxes found.\n";
  return renderTable(
    [...(workspaces ? ["WORKSPACE"] : []), "NAME", "CREATED", "PHASE"],
    sandboxes.map(({ metadata, status }) => [
      ...(workspaces ? [metadata?.workspace ?? ""] : []),
      metadata?.name ?? "",
      tableTime(metadata?.createdTime),
      phaseCell(status?.phase, style),
    ]),
    style,
  );
}

/** A protection in full: `yes`, or exactly what was asked for. */
function isEnforced(requested: string, enforced: string): boolean {
  return enforced === "yes" || enforced === requested;
}

/** One sandbox in full, with what is requested and what is enforced. */
export function sandboxDetails(sandbox: Sandbox, style: Style): string {
  const { metadata, spec, status } = sandbox;
  const phase = phaseCell(status?.phase, style);
  const fields: [string, string][] = [
    ["Name", printable(metadata?.name ?? "")],
    ["Id", printable(metadata?.id ?? "")],
    ["Workspace", printable(metadata?.workspace ?? "")],
    ["Phase", typeof phase === "string" ? phase : phase.color(phase.text)],
    ["Created", `${tableTime(metadata?.createdTime)} UTC`],
    ["Policy version", String(status?.currentPolicyVersion ?? 0)],
  ];
  // What the supervisor did not take; it goes on with the version above.
  const refused = status?.configurationAdmission?.error ?? "";
  if (refused !== "") fields.push(["Refused policy", printable(refused)]);
  if (spec !== undefined && spec.command.length > 0) fields.push(["Command", printable(spec.command.join(" "))]);
  if (spec !== undefined && spec.providers.length > 0) fields.push(["Providers", printable(spec.providers.join(", "))]);
  if (status?.exitCode !== undefined) fields.push(["Exit code", String(status.exitCode)]);
  if (sandbox.hostKeyFingerprint !== "") fields.push(["SSH host key", printable(sandbox.hostKeyFingerprint)]);
  for (const path of status?.madeConfiguration ?? []) fields.push(["Made for tools", `${printable(path)} (look at it first)`]);
  const labels = Object.entries(metadata?.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  if (labels.length > 0) fields.push(["Labels", printable(labels.join(", "))]);
  let text = renderFields(fields, style);
  const conditions = status?.conditions ?? [];
  if (conditions.length > 0) {
    text += `\n${renderTable(
      ["CONDITION", "STATUS", "REASON", "MESSAGE"],
      conditions.map((c) => [c.type, c.status, c.reason, c.message]),
      style,
    )}`;
  }
  const endpoints = status?.endpointStatuses ?? [];
  if (endpoints.length > 0) text += `\n${endpointTable(endpoints, style)}`;
  const enforcement = status?.enforcement ?? [];
  if (enforcement.length > 0) {
    text += `\n${renderTable(
      ["PROTECTION", "REQUESTED", "ENFORCED", "DETAIL"],
      enforcement.map((e) => [
        e.feature,
        e.requested,
        isEnforced(e.requested, e.enforced) ? e.enforced : { text: e.enforced, color: style.red },
        e.detail,
      ]),
      style,
    )}`;
  }
  return text;
}
