import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  ConfigurationAdmissionState,
  SandboxPhase as Phase,
  type SandboxCondition,
  SandboxConditionSchema,
  type SandboxStatus,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { withStatus } from "../store/sandboxes.ts";

/** What can happen to a sandbox, as its phase sees it. */
export type LifeEvent =
  | { readonly kind: "starting"; readonly message?: string }
  | { readonly kind: "connected" }
  | { readonly kind: "admitted" }
  | { readonly kind: "rejected"; readonly error: string }
  | { readonly kind: "disconnected" }
  | { readonly kind: "main-exited"; readonly exitCode: number }
  | { readonly kind: "failed"; readonly reason: string; readonly message: string }
  | { readonly kind: "stopping" }
  | { readonly kind: "stopped" }
  | { readonly kind: "deleting" };

const CONFIGURATION_REJECTED = "ConfigurationRejected";

/**
 * The next status of a sandbox. READY needs a live session whose supervisor accepted its configuration; an end (ERROR, COMPLETED,
 * STOPPED) stays until the sandbox is started again or deleted, and DELETING stays for good.
 */
export function transition(status: SandboxStatus, event: LifeEvent, now: number): SandboxStatus {
  const to = (
    phase: Phase,
    ready: boolean,
    reason: string,
    message: string,
    change: Parameters<typeof withStatus>[1] = {},
  ): SandboxStatus => withStatus(status, { ...change, phase, conditions: [condition(status, ready, reason, message, now)] });

  if (status.phase === Phase.DELETING) return status;
  switch (event.kind) {
    case "deleting":
      return to(Phase.DELETING, false, "Deleting", "The sandbox is being deleted");
    case "starting":
      return freshStart(
        status,
        to(
          status.phase === Phase.UNSPECIFIED ? Phase.PROVISIONING : Phase.STARTING,
          false,
          "Starting",
          event.message ?? "The supervisor is starting",
        ),
      );
    case "stopping":
      return isStopped(status) ? status : to(Phase.STOPPING, false, "Stopping", "The supervisor is stopping");
    case "stopped":
      return to(Phase.STOPPED, false, "Stopped", "The sandbox is stopped; its workspace is kept");
    case "main-exited": {
      if (isStopped(status)) return status;
      const phase = event.exitCode === 0 ? Phase.COMPLETED : Phase.ERROR;
      return to(phase, false, "MainProcessExited", `The main process exited with code ${event.exitCode}`, { exitCode: event.exitCode });
    }
    case "failed":
      return isEnd(status) ? status : to(Phase.ERROR, false, event.reason, event.message);
    case "connected":
      if (!isComingUp(status)) return status;
      return isAdmitted(status)
        ? to(Phase.READY, true, "DependenciesReady", "Supervisor session connected")
        : to(status.phase, false, "DependenciesNotReady", "The supervisor is loading its configuration");
    case "admitted":
      if (!isComingUp(status) && readyReason(status) !== CONFIGURATION_REJECTED) return status;
      return to(Phase.READY, true, "DependenciesReady", "Supervisor session connected");
    case "rejected":
      if (!isComingUp(status) || status.phase === Phase.READY) return status;
      return to(Phase.ERROR, false, CONFIGURATION_REJECTED, event.error);
    case "disconnected":
      if (!isComingUp(status)) return status;
      return to(Phase.PROVISIONING, false, "SupervisorNotConnected", "Waiting for the supervisor's session");
  }
}

/** When the main process began, as far as the gateway sees it: with the session of its instance. A sandbox without one has no such time. */
export function withMainProcess(status: SandboxStatus, event: LifeEvent, hasMainProcess: boolean, now: number): SandboxStatus {
  const began = event.kind === "connected" || event.kind === "admitted" || event.kind === "main-exited";
  if (!hasMainProcess || !began || status.mainProcessStartedTime !== undefined) return status;
  return withStatus(status, { mainProcessStartedTime: timestampFromMs(now) });
}

/** Whether a command can be run: up, or ended with its supervisor still there. */
export function acceptsCommands(status: SandboxStatus): boolean {
  return (
    status.phase === Phase.READY ||
    ((status.phase === Phase.COMPLETED || status.phase === Phase.ERROR) && readyReason(status) === "MainProcessExited")
  );
}

/** Whether the sandbox may still become ready by itself. */
export function isComingUp(status: SandboxStatus): boolean {
  return status.phase === Phase.PROVISIONING || status.phase === Phase.STARTING || status.phase === Phase.READY;
}

/** A phase that a watcher with stop_on_terminal waits for. */
export function isTerminal(status: SandboxStatus): boolean {
  return status.phase === Phase.READY || isEnd(status) || status.phase === Phase.STOPPED;
}

function isEnd(status: SandboxStatus): boolean {
  return status.phase === Phase.ERROR || status.phase === Phase.COMPLETED;
}

function isStopped(status: SandboxStatus): boolean {
  return status.phase === Phase.STOPPED || status.phase === Phase.STOPPING;
}

function isAdmitted(status: SandboxStatus): boolean {
  const admission = status.configurationAdmission;
  return admission?.state === ConfigurationAdmissionState.ACCEPTED && admission.instanceId === status.mainProcessInstanceId;
}

/** A new start: nothing of the last one holds any more. */
function freshStart(before: SandboxStatus, after: SandboxStatus): SandboxStatus {
  const { exitCode: _, configurationAdmission: __, nextRestartTime: ___, mainProcessStartedTime: ____, ...rest } = after;
  return { ...rest, restartCount: before.phase === Phase.UNSPECIFIED ? 0 : before.restartCount + 1 } as SandboxStatus;
}

/** Why the sandbox is ready, or is not. */
export function readyReason(status: SandboxStatus): string {
  return status.conditions.find((c) => c.type === "Ready")?.reason ?? "";
}

/** Keeps the time of the last real change of True or False. */
function condition(before: SandboxStatus, ready: boolean, reason: string, message: string, now: number): SandboxCondition {
  const value = ready ? "True" : "False";
  const old = before.conditions.find((c) => c.type === "Ready");
  const since = old?.status === value ? old.transitionTime : undefined;
  return create(SandboxConditionSchema, { type: "Ready", status: value, reason, message, transitionTime: since ?? timestampFromMs(now) });
}
