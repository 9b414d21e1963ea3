import { chownSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import type { Policy } from "../../policy/model.ts";
import { leaseAgentIdentity } from "./agent-identity.ts";
import type { Child } from "./box/contract.ts";
import { boxSpec } from "./box-spec.ts";
import { childEnvironment } from "./child-environment.ts";
import { EventLog } from "./logs/event-log.ts";
import { discoverPolicy, readPolicyFile, type SourcedPolicy } from "./policy-source.ts";
import { isInsideWritablePath, watchPolicyFile } from "./policy-watch.ts";
import { type Sandbox, startSandbox } from "./sandbox.ts";
import { superviseChild } from "./supervise-child.ts";
import { bridgeTerminal, isInteractive, terminalSize } from "./terminal-bridge.ts";

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
}

/** `openshell sandbox run` without a gateway: one confined program; resolves to its exit code and leaves nothing behind. */
export async function runStandalone(options: StandaloneOptions): Promise<number> {
  const { policy, source, notes } = choosePolicy(options.policyFile);
  const log = new EventLog(
    {
      context: { sandboxId: options.sandboxId, sandboxName: options.sandboxName },
      readable: (line) => process.stderr.write(`${line}\n`),
      ...(options.logDirectory === undefined ? {} : { directory: options.logDirectory }),
    },
    options.logDirectory !== undefined,
  );
  const say = (message: string) => log.write({ kind: "config", activity: "loaded", time: Date.now(), severity: "informational", message });
  say(`policy from ${source}`);
  for (const note of notes) say(note);
  using identity = leaseAgentIdentity(policy.process);
  using scratch = scratchDirectory(identity);
  await using sandbox = await startSandbox({
    box: boxSpec(policy, { ...options, ...identity, workspace: scratch.workspace, runDirectory: scratch.run }),
    policy,
    trustedCidrs: options.trustedCidrs,
    internalDomains: options.internalDomains,
    blockedAddresses: [],
    emit: log.write,
  });
  for (const { feature, requested, enforced, detail } of sandbox.box.enforcement) {
    if (enforced !== "yes") say(`${feature}: requested ${requested}, enforced ${enforced} (${detail})`);
  }
  using _watch = reloading(options, policy, sandbox, say);
  const interactive = isInteractive();
  const child = await sandbox.box.launch({
    argv: options.command,
    environment: childEnvironment({ ...options, workspace: "default" }, options.environment),
    workdir: options.workdir,
    stdio: interactive ? terminalSize() : "inherit",
  });
  const code = await withTerminal(interactive ? child : undefined, () =>
    superviseChild(child, sandbox.box, { timeout: options.timeout, forward: [constants.signals.SIGINT, constants.signals.SIGTERM] }),
  );
  log.flush();
  return code;
}

function choosePolicy(file: string | undefined): SourcedPolicy {
  if (file === undefined) return discoverPolicy();
  const policy: Policy = readPolicyFile(file);
  return { policy, source: file, notes: [] };
}

/** A private workspace and run directory, removed at the end. */
function scratchDirectory({ uid, gid }: { uid: number; gid: number }): Disposable & { readonly workspace: string; readonly run: string } {
  mkdirSync("/run/openshell", { recursive: true, mode: 0o755 });
  const base = mkdtempSync("/run/openshell/run-");
  const workspace = join(base, "workspace");
  const run = join(base, "run");
  mkdirSync(workspace, { mode: 0o700 });
  mkdirSync(run, { mode: 0o700 });
  chownSync(workspace, uid, gid);
  return { workspace, run, [Symbol.dispose]: () => rmSync(base, { recursive: true, force: true }) };
}

/** Follows the file that a person named, unless the program inside could write it. */
function reloading(options: StandaloneOptions, policy: Policy, sandbox: Sandbox, say: (message: string) => void): Disposable | undefined {
  if (options.policyFile === undefined) return undefined;
  const mounted = options.mounts.filter((mount) => mount.readWrite).map((mount) => mount.source);
  if (isInsideWritablePath(options.policyFile, policy.filesystem?.readWrite ?? [], mounted)) {
    say(`${options.policyFile} is inside a path that the program may write: it is not watched for changes`);
    return undefined;
  }
  return watchPolicyFile(options.policyFile, sandbox.enforce, say);
}

async function withTerminal<T>(child: Child | undefined, work: () => Promise<T>): Promise<T> {
  if (child === undefined) return work();
  await using _bridge = bridgeTerminal(child);
  return await work();
}
