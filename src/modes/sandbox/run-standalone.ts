import { join } from "node:path";
import { OpenShellError } from "../../error.ts";
import type { Policy } from "../../policy/model.ts";
import type { UpstreamProxySettings } from "../../upstream-proxy/settings.ts";
import { leaseAgentIdentity } from "./agent-identity.ts";
import type { Child } from "./box/contract.ts";
import type { Ground } from "./box/ground.ts";
import { boxSpec } from "./box-spec.ts";
import { childEnvironment } from "./child-environment.ts";
import { readCredentialFile } from "./credentials/file.ts";
import { Credentials } from "./credentials/model.ts";
import { withModels } from "./inference/environment.ts";
import { readRoutesFile } from "./inference/routes-file.ts";
import type { InferenceSettings } from "./inference/service.ts";
import { EventLog } from "./logs/event-log.ts";
import { LineWriter } from "./logs/line-writer.ts";
import { madeConfigurationNote, rememberToolConfiguration } from "./made-configuration.ts";
import { collectOrphans } from "./orphans.ts";
import { DISCOVERY_PATHS, discoverPolicy, readDiscovered, readPolicyFile } from "./policy-source.ts";
import { type PolicyFile, watchPolicyFile } from "./policy-watch.ts";
import { startSandbox } from "./sandbox.ts";
import { openScratch } from "./scratch.ts";
import { RELAYED_SIGNALS, SignalRelay } from "./signal-relay.ts";
import { superviseChild } from "./supervise-child.ts";
import { bridgeTerminal, isInteractive, terminalSize } from "./terminal-bridge.ts";
import { isInsideWritablePath, type WritablePlaces } from "./writable-paths.ts";

export interface StandaloneOptions {
  readonly policyFile?: string;
  readonly sandboxName: string;
  readonly sandboxId: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly workdir: string;
  /** Seconds; 0 = none. */
  readonly timeout: number;
  readonly logDirectory?: string;
  readonly mounts: readonly { readonly source: string; readonly target: string; readonly readWrite: boolean }[];
  readonly trustedCidrs: readonly string[];
  readonly internalDomains: readonly string[];
  readonly upstreamCa?: string;
  readonly upstreamProxy?: UpstreamProxySettings;
  readonly credentialFile?: string;
  /** File of routes for `inference.local`. */
  readonly inferenceRoutes?: string;
}

/** `openshell sandbox run` without a gateway: one confined program; resolves to its exit code and leaves nothing behind. */
export async function runStandalone(options: StandaloneOptions, ground: Ground): Promise<number> {
  await using _ground = ground;
  const { policy, notes, file } = choosePolicy(options.policyFile);
  const writable = writablePlaces(options, policy);
  refuseWritableLogDirectory(options.logDirectory, writable);
  const credentials = readCredentials(options.credentialFile, writable);
  const inference = readInference(options.inferenceRoutes, writable);
  const followed = file === undefined || isInsideWritablePath(file.path, writable) ? undefined : guarded(file, writable);
  // SIGHUP reloads a policy file; without one it means what it means for every program of a terminal.
  using signals = new SignalRelay(RELAYED_SIGNALS.filter((name) => name !== "SIGHUP" || followed === undefined));
  using _orphans = collectOrphans();
  const stderr = new LineWriter(process.stderr);
  if (isInteractive() && process.stderr.isTTY) stderr.lineEnd = "\r\n";
  const log = new EventLog(
    {
      context: { sandboxId: options.sandboxId, sandboxName: options.sandboxName },
      readable: (line) => stderr.write(line),
      ...(options.logDirectory === undefined ? {} : { directory: options.logDirectory }),
    },
    options.logDirectory !== undefined,
  );
  const say = (message: string) => log.write({ kind: "config", activity: "loaded", time: Date.now(), severity: "informational", message });
  say(`policy from ${file?.path ?? "restrictive default"}`);
  for (const note of notes) say(note);
  if (file !== undefined && followed === undefined) {
    say(`${file.path} is inside a path that the program may write: it is not watched for changes`);
  }
  const made = rememberToolConfiguration(writablePlaces(options, policy));
  try {
    return await runConfined(options, policy, { ground, log, say, signals, followed, credentials, inference });
  } finally {
    for (const path of made()) say(madeConfigurationNote(path));
    log.flush();
    await stderr.drain();
  }
}

interface Surroundings {
  readonly ground: Ground;
  readonly log: EventLog;
  readonly say: (message: string) => void;
  readonly signals: SignalRelay;
  readonly followed: PolicyFile | undefined;
  readonly credentials: Credentials;
  readonly inference: InferenceSettings | undefined;
}

async function runConfined(options: StandaloneOptions, policy: Policy, surroundings: Surroundings): Promise<number> {
  const { ground, log, say, signals, followed, credentials, inference } = surroundings;
  using identity = leaseAgentIdentity(policy.process);
  await using scratch = openScratch(identity);
  await using sandbox = await startSandbox({
    ground,
    box: boxSpec(policy, {
      ...options,
      ...identity,
      workspace: scratch.workspace,
      runDirectory: scratch.run,
      tlsDirectory: join(scratch.run, "tls"),
    }),
    policy,
    trustedCidrs: options.trustedCidrs,
    internalDomains: options.internalDomains,
    blockedAddresses: [],
    emit: log.write,
    upstreamCa: options.upstreamCa,
    upstreamProxy: options.upstreamProxy,
    credentials,
    inference,
  });
  for (const { feature, requested, enforced, detail } of sandbox.box.enforcement) {
    if (enforced !== "yes" && enforced !== requested) say(`${feature}: requested ${requested}, enforced ${enforced} (${detail})`);
  }
  using _watch = followed && watchPolicyFile(followed, policy, sandbox.enforce, say);
  if (signals.endedEarly !== undefined) return signals.endedEarly;
  const interactive = isInteractive();
  const given = { ...credentials.environment(), ...options.environment };
  const child = await sandbox.box.launch({
    argv: options.command,
    environment: childEnvironment({ ...options, workspace: "default" }, withModels(sandbox.inference.routes, given)),
    workdir: options.workdir,
    stdio: interactive ? terminalSize() : "inherit",
  });
  signals.attach(child);
  return await withTerminal(interactive ? child : undefined, () => superviseChild(child, sandbox.box, options.timeout));
}

function choosePolicy(named: string | undefined): {
  readonly policy: Policy;
  readonly notes: readonly string[];
  readonly file?: PolicyFile;
} {
  if (named === undefined) {
    const { policy, source, notes, path } = discoverPolicy(DISCOVERY_PATHS, true);
    return { policy, notes, ...(path === undefined ? {} : { file: { path: source, read: () => readDiscovered(path, true) } }) };
  }
  const read = () => readPolicyFile(named);
  return { policy: read(), notes: [], file: { path: named, read } };
}

function writablePlaces({ mounts }: StandaloneOptions, policy: Policy): WritablePlaces {
  return {
    policyPaths: policy.filesystem?.readWrite ?? [],
    mounted: mounts.filter((mount) => mount.readWrite).map((mount) => mount.source),
  };
}

/** The file, as long as no link leads it to where the program could write. */
function guarded(file: PolicyFile, writable: WritablePlaces): PolicyFile {
  const read = () => {
    if (isInsideWritablePath(file.path, writable)) {
      throw new OpenShellError("failed_precondition", `${file.path} is inside a path that the program may write`);
    }
    return file.read();
  };
  return { path: file.path, read };
}

/** Read once, before anything runs inside. */
function readCredentials(path: string | undefined, writable: WritablePlaces): Credentials {
  if (path === undefined) return new Credentials();
  return new Credentials(
    readCredentialFile(path, { environment: process.env, isWritable: (place) => isInsideWritablePath(place, writable) }),
  );
}

/** Read once, before anything runs inside. */
function readInference(path: string | undefined, writable: WritablePlaces): InferenceSettings | undefined {
  if (path === undefined) return undefined;
  if (!isInsideWritablePath(path, writable)) return readRoutesFile(path);
  throw new OpenShellError("invalid_argument", `--inference-routes ${path} is inside a path that the program may write`, {
    next: "keep the file outside the read_write paths and mounts: the program would choose where its questions go",
  });
}

function refuseWritableLogDirectory(directory: string | undefined, writable: WritablePlaces): void {
  if (directory === undefined || !isInsideWritablePath(directory, writable)) return;
  throw new OpenShellError("invalid_argument", `--log-dir ${directory} is inside a path that the program may write`, {
    next: "name a directory outside the read_write paths and mounts: the supervisor writes there as root",
  });
}

async function withTerminal<T>(child: Child | undefined, work: () => Promise<T>): Promise<T> {
  if (child === undefined) return work();
  await using _bridge = bridgeTerminal(child);
  return await work();
}
