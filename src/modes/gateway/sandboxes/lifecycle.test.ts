import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { ConfigurationAdmissionState, SandboxPhase, SandboxStatusSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { withStatus } from "../store/sandboxes.ts";
import { type LifeEvent, transition } from "./lifecycle.ts";

const connected = { kind: "connected" } as const;
const admitted = { kind: "admitted" } as const;
const lost = { kind: "disconnected" } as const;
const starting = { kind: "starting" } as const;
const exit = (exitCode: number) => ({ kind: "main-exited", exitCode }) as const;
const failed = { kind: "failed", reason: "SupervisorExited", message: "m" } as const;

/** A life as a list of events, and the phase and reason it leads to. */
const lives: [name: string, events: LifeEvent[], phase: keyof typeof SandboxPhase, reason: string][] = [
  ["created", [starting], "PROVISIONING", "Starting"],
  ["connected is not ready", [starting, connected], "PROVISIONING", "DependenciesNotReady"],
  ["ready", [starting, connected, admitted], "READY", "DependenciesReady"],
  ["session lost", [starting, connected, admitted, lost], "PROVISIONING", "SupervisorNotConnected"],
  ["main process done", [starting, connected, admitted, exit(0)], "COMPLETED", "MainProcessExited"],
  ["main process failed", [starting, connected, admitted, exit(2)], "ERROR", "MainProcessExited"],
  ["an end outlives the session", [starting, admitted, exit(0), lost, connected, admitted], "COMPLETED", "MainProcessExited"],
  ["an end outlives the supervisor", [starting, admitted, exit(0), failed], "COMPLETED", "MainProcessExited"],
  ["crash", [starting, admitted, failed], "ERROR", "SupervisorExited"],
  ["crash is sticky", [starting, admitted, failed, connected, admitted], "ERROR", "SupervisorExited"],
  ["started again", [starting, admitted, failed, starting], "STARTING", "Starting"],
  ["stopped", [starting, admitted, { kind: "stopping" }, lost, { kind: "stopped" }], "STOPPED", "Stopped"],
  ["an exit while stopping is the stop", [starting, admitted, { kind: "stopping" }, exit(143), { kind: "stopped" }], "STOPPED", "Stopped"],
  ["first configuration refused", [starting, connected, { kind: "rejected", error: "e" }], "ERROR", "ConfigurationRejected"],
  ["then accepted", [starting, connected, { kind: "rejected", error: "e" }, admitted], "READY", "DependenciesReady"],
  ["a later one refused", [starting, admitted, { kind: "rejected", error: "e" }], "READY", "DependenciesReady"],
  ["deleting is for good", [starting, admitted, { kind: "deleting" }, admitted, failed, starting], "DELETING", "Deleting"],
];

describe("phases", () => {
  for (const [name, events, phase, reason] of lives) {
    test(name, () => {
      const end = events.reduce((status, event, at) => transition(status, event, at), create(SandboxStatusSchema));
      expect([SandboxPhase[end.phase], end.conditions[0]?.reason]).toEqual([phase, reason]);
    });
  }

  test("a reconnecting instance that was accepted is ready at once, a new one is not", () => {
    const admission = { instanceId: "a", state: ConfigurationAdmissionState.ACCEPTED };
    const before = create(SandboxStatusSchema, {
      phase: SandboxPhase.PROVISIONING,
      mainProcessInstanceId: "a",
      configurationAdmission: admission,
    });
    expect(transition(before, connected, 1).phase).toBe(SandboxPhase.READY);
    expect(transition(withStatus(before, { mainProcessInstanceId: "b" }), connected, 1).phase).toBe(SandboxPhase.PROVISIONING);
  });

  test("a start forgets the exit code and counts", () => {
    const ended = [starting, admitted, exit(4)].reduce((status, event) => transition(status, event, 0), create(SandboxStatusSchema));
    const again = transition(ended, starting, 1);
    expect([ended.exitCode, again.exitCode, again.restartCount]).toEqual([4, undefined, 1]);
  });
});
