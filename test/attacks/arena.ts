/**
 * Where attacks happen: the compiled binary runs a program in a sandbox on the host of a test internet. Attack programs are Perl, which
 * every Debian has; each prints one line of JSON per probe, so that one start of a sandbox serves many tests.
 */
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { architecture, type SyscallName, syscallNumber } from "../../src/linux/syscall-numbers.ts";
import { BINARY, missingBinary } from "../e2e/installation.ts";
import type { Zone } from "../internet/dns/server.ts";
import { type HostProgram, missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";
import { extraNumbers } from "./syscalls.ts";

export const PERL = "/usr/bin/perl";
/** A user of the host that is nobody: what an agent would be without a sandbox. */
export const OUTSIDE_UID = 1_999_999_999;
/** Who starts the sandboxes: root, or the user of this number (see rootless.test.ts). */
export const AS_USER = Number(process.env["OPENSHELL_ATTACKS_UID"] ?? 0);
/** Set: they are sandboxes of a gateway of that user (see ../rootless/gateway.test.ts), with the same arguments. */
export const THROUGH_GATEWAY = (process.env["OPENSHELL_ATTACKS_GATEWAY"] ?? "") !== "";
/** Where the attack programs appear, inside and outside. */
const PROGRAMS = "/attacks";

export interface Attack {
  /** YAML below `network_policies:`, two blanks deep; none by default. */
  readonly network?: string;
  /** The whole policy, when `network` is not enough. */
  readonly policy?: string;
  readonly mounts?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly flags?: readonly string[];
  readonly arguments?: readonly string[];
}

export interface Outcome {
  /** Result by probe. */
  readonly probes: Readonly<Record<string, string>>;
  readonly exitCode: number;
  readonly stdout: string;
  /** The readable event log. */
  readonly stderr: string;
}

/** What the machine lacks; undefined when nothing. */
export function missingForAttacks(): string | undefined {
  if (!existsSync(PERL)) return `${PERL} is needed for the attack programs`;
  if (architecture === undefined) return "there is no table of system calls for this architecture";
  return missingForTestInternet() ?? missingBinary();
}

export class Arena implements AsyncDisposable {
  readonly net: TestInternet;
  #policies = 0;

  private constructor(net: TestInternet) {
    this.net = net;
    // Only root may look around in the scratch directory; who knows the names below may use them.
    chmodSync(net.directory, 0o711);
    cpSync(join(import.meta.dir, "programs"), join(net.directory, "programs"), { recursive: true });
  }

  static async open(zones: Zone = {}): Promise<Arena> {
    const arena = new Arena(await openTestInternet({ zones }));
    if (THROUGH_GATEWAY) await arena.#startGateway();
    return arena;
  }

  /** Variables that name the gateway of this arena. */
  get #gateway(): Record<string, string> {
    const home = join(this.net.directory, "home");
    return {
      HOME: home,
      XDG_STATE_HOME: join(home, "state"),
      XDG_CONFIG_HOME: join(home, "config"),
      XDG_RUNTIME_DIR: home,
      OPENSHELL_SYSTEM_GATEWAY_DIR: join(home, "system"),
      NO_COLOR: "1",
    };
  }

  async #startGateway(): Promise<void> {
    const { HOME = "" } = this.#gateway;
    mkdirSync(HOME, { mode: 0o700 });
    chownSync(HOME, AS_USER, AS_USER);
    cpSync(join(import.meta.dir, "through-gateway.pl"), join(this.net.directory, "through-gateway.pl"));
    const gateway = await this.net.spawnOnHost([...asUser(AS_USER), BINARY, "gateway", "serve", "--allow-mount", "/"], {
      env: this.#gateway,
    });
    await gateway.waitForOutput(/gateway ready/);
  }

  /** A directory of the host for this test, owned by root. */
  directory(name: string): string {
    mkdirSync(join(this.net.directory, "dirs"), { recursive: true, mode: 0o755 });
    return mkdtempSync(join(this.net.directory, "dirs", `${name}-`));
  }

  /** Arguments of `sandbox run` for a program of ours, or any command. */
  commandLine(command: readonly string[], attack: Attack = {}): string[] {
    const file = join(this.net.directory, `policy-${++this.#policies}.yaml`);
    writeFileSync(file, attack.policy ?? `version: 1\nnetwork_policies:${attack.network === undefined ? " {}\n" : `\n${attack.network}`}`);
    const mounts = [`${join(this.net.directory, "programs")}:${PROGRAMS}:ro`, ...(attack.mounts ?? [])].flatMap((mount) => [
      "--mount",
      mount,
    ]);
    const variables = { ATTACKS: PROGRAMS, SYSCALLS: syscallTable(), ...attack.env };
    const env = Object.entries(variables).flatMap(([name, value]) => ["--env", `${name}=${value}`]);
    const assignments = Object.entries(this.#gateway).map(([name, value]) => `${name}=${value}`);
    return [
      ...asUser(AS_USER),
      ...(THROUGH_GATEWAY
        ? ["/usr/bin/env", ...assignments, PERL, join(this.net.directory, "through-gateway.pl"), BINARY]
        : [BINARY, "sandbox", "run"]),
      "--sandbox-name",
      "arena",
      "--policy",
      file,
      ...mounts,
      ...env,
      ...(attack.flags ?? []),
      "--",
      ...command,
    ];
  }

  /** Runs an attack program in a sandbox to its end. */
  run(program: string, attack: Attack = {}): Promise<Outcome> {
    return this.runCommand([PERL, `${PROGRAMS}/${program}`, ...(attack.arguments ?? [])], attack);
  }

  async runCommand(command: readonly string[], attack: Attack = {}): Promise<Outcome> {
    const { exitCode, stdout, stderr } = await this.net.runOnHost(this.commandLine(command, attack));
    return { probes: readProbes(stdout), exitCode, stdout, stderr };
  }

  /** Starts one that stays. */
  spawn(program: string, attack: Attack = {}): Promise<HostProgram> {
    return this.net.spawnOnHost(this.commandLine([PERL, `${PROGRAMS}/${program}`, ...(attack.arguments ?? [])], attack));
  }

  /** The same program without a sandbox, as a user of the host without any right: what a probe can do when nothing stops it. */
  async outside(program: string, env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
    const programs = join(this.net.directory, "programs");
    const { exitCode, stdout, stderr } = await this.net.runOnHost([...asUser(OUTSIDE_UID), PERL, join(programs, program)], {
      env: { ATTACKS: programs, SYSCALLS: syscallTable(), ...env },
      cwd: "/",
    });
    return { probes: readProbes(stdout), exitCode, stdout, stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.net[Symbol.asyncDispose]();
  }
}

/** In front of a command: run it as this user, without other groups. */
export function asUser(uid: number): string[] {
  return uid === 0 ? [] : ["/usr/bin/setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"];
}

export function readProbes(stdout: string): Record<string, string> {
  const probes: Record<string, string> = {};
  for (const line of stdout.split("\n")) {
    if (!line.startsWith('{"probe":')) continue;
    const { probe, result } = JSON.parse(line) as { probe: string; result: string };
    probes[probe] = result;
  }
  return probes;
}

/** A rule for one program and one destination, as YAML for `network`. */
export function rule(name: string, host: string, ports: number | readonly number[], binaries: readonly string[], extra = ""): string {
  const list = (typeof ports === "number" ? [ports] : ports).join(", ");
  const programs = binaries.map((path) => `{ path: "${path}" }`).join(", ");
  return `  ${name}:\n    endpoints: [{ host: "${host}", ports: [${list}]${extra} }]\n    binaries: [${programs}]\n`;
}

/** The numbers that the product's own table has, and those that only an attacker needs. */
function syscallTable(): string {
  const own = ["unshare", "clone", "clone3", "setns", "mount", "umount2", "pivot_root", "chroot", "fsopen", "open_tree", "mount_setattr"];
  const others = ["ptrace", "process_vm_readv", "process_vm_writev", "pidfd_open", "pidfd_getfd", "kcmp", "prctl", "capset"];
  const surface = ["io_uring_setup", "userfaultfd", "bpf", "perf_event_open", "keyctl", "seccomp", "personality", "open_by_handle_at"];
  const rest = ["memfd_create", "execveat", "ioctl", "socket", "sendmsg", "sendto", "setresuid"];
  if (architecture === undefined) return "";
  const arch = architecture;
  const table = [...own, ...others, ...surface, ...rest].map((name) => `${name}=${syscallNumber(name as SyscallName, arch)}`);
  return [...table, ...extraNumbers(arch)].join(",");
}
