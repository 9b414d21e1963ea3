import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { OpenShellError } from "../../error.ts";
import { nameProcess } from "../../linux/process-state.ts";
import { surviveTransportFaults } from "../../rpc/transport-faults.ts";
import type { SupervisorSpec } from "../../supervisor-spec.ts";
import { EarlyBox } from "./box/early-box.ts";
import type { Ground } from "./box/ground.ts";
import { gatewayBoxSpec } from "./box-spec.ts";
import { keepOwnOutputSmall } from "./logs/own-output.ts";
import { discoverPolicy } from "./policy-source.ts";
import { SandboxCa } from "./proxy/tls/sandbox-ca.ts";
import { writeTrustFiles } from "./proxy/tls/trust-files.ts";
import type { End } from "./run-under-gateway.ts";
import type { EarlySandbox } from "./sandbox.ts";
import { fetchFirstState } from "./session/first-state.ts";
import { connectGateway } from "./session/gateway-client.ts";

/** A sandbox that a gateway steers. Resolves when it is told to stop, or after a main process that is not kept. */
export async function runUnderGateway(spec: SupervisorSpec, ground: Ground): Promise<number> {
  await using _ground = ground;
  let exit: End = { exitCode: 1, reason: "StartFailed" };
  try {
    exit = await start(spec, ground);
  } catch (error) {
    const { message, next } = OpenShellError.from(error);
    exit = { exitCode: 1, reason: next ? `${message} (${next})` : message };
    throw error;
  } finally {
    writeExit(spec, exit);
  }
  return exit.exitCode;
}

function writeExit({ directory, instanceId }: SupervisorSpec, exit: End): void {
  writeFileSync(join(directory, "exit.json"), JSON.stringify({ instanceId, ...exit }), { mode: 0o600 });
}

/** Asks the gateway first; what enforces its answer is loaded while it thinks. */
async function start(spec: SupervisorSpec, ground: Ground): Promise<End> {
  nameProcess("openshell");
  surviveTransportFaults();
  using _output = keepOwnOutputSmall(join(spec.directory, "log/supervisor.log"));
  const stop = stopSignal();
  // At once: a machine that is shut down may not wait until everything has ended. What remains is told at the end.
  const stopped = stop.then((name) => {
    const end = stoppedBy(name);
    writeExit(spec, end);
    return end;
  });
  stopped.catch(() => {});
  const connection = connectGateway(spec.gateway);
  const { client, token } = connection;
  token.keepFresh(async () => (await client.refreshSandboxToken({})).token);
  const first = fetchFirstState(connection, spec);
  // Whoever needs it gets the failure.
  first.catch(() => {});
  const early = beginSandbox(spec, ground);
  await using _box = early.box;
  await prepareRules();
  const { supervise } = await import("./run-under-gateway.ts");
  const begun = await Promise.race([first, stopped]);
  // Awaited here, not by who called: what is in use until it ends would be given back before.
  return "exitCode" in begun ? begun : await supervise(spec, { ground, early, connection, first: begun, stop });
}

/** How a supervisor ends that was told to. */
function stoppedBy(signal: string): End {
  return { exitCode: 0, reason: `stopped by ${signal}`, signal };
}

/** Builds what the gateway's answer will most likely ask for. */
function beginSandbox(spec: SupervisorSpec, ground: Ground): EarlySandbox {
  const box = gatewayBoxSpec(spec.expected ?? discoverPolicy().policy, spec);
  const ca = new SandboxCa();
  if (box.tlsDirectory !== undefined) writeTrustFiles(box.tlsDirectory, ca.certificate);
  return { ca, box: new EarlyBox(box, ground) };
}

/** Compiles the rules, which takes as long as an answer. In between what has arrived is handled: the handshake takes several answers of ours. */
async function prepareRules(): Promise<void> {
  await turn();
  const { policyModule } = await import("../../engine/rego.ts");
  await turn();
  policyModule();
  await turn();
}

function turn(): Promise<unknown> {
  return new Promise(setImmediate);
}

function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => resolve(name));
  });
}
