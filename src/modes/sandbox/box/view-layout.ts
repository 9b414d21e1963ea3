import { readdirSync } from "node:fs";
import { SYSTEM_BUNDLES } from "../../../authorities.ts";
import type { LandlockRule } from "../../../linux/landlock.ts";
import { inspect, isBelow } from "./view-probe.ts";

/** Home and working directory of the agent. */
export const WORKSPACE_PATH = "/sandbox";

/** Certificates that programs inside are to trust. */
export const TLS_PATH = "/etc/openshell-tls";
/** Of these, the file with all that programs trust: the system's authorities and the sandbox's own. */
export const TRUST_BUNDLE = "ca-bundle.pem";

/** In a policy these always mean the view's own directory, never the host's. */
const ownPaths = ["/etc", "/tmp", "/dev", "/proc", "/var/log", "/run", "/var/run", WORKSPACE_PATH];

/** Those that start empty and may hold what a policy lists below them. */
export const scratchDirectories = ["/tmp", "/var/log", "/run"];

export function isOwnPath(path: string): boolean {
  return ownPaths.some((own) => path === own || isBelow(path, own));
}

/** Listed by the restrictive default and the shipped policies for the sake of images; a host need not have them. */
export const WELL_KNOWN_PATHS: ReadonlySet<string> = new Set(["/usr", "/lib", "/lib64", "/opt", "/app", "/bin", "/sbin"]);

/** What comes with /usr: the rest of the system's programs and libraries. */
export function systemPaths(): string[] {
  const libraries = readdirSync("/").filter((name) => name.startsWith("lib") && /^lib(|32|64|x32)$/.test(name));
  return ["/usr", "/opt", "/bin", "/sbin", ...libraries.map((name) => `/${name}`)];
}

/** Configuration of the host that programs need and that holds no secret. Everything else in /etc is ours or absent. */
export const hostConfiguration: readonly string[] = [
  "alternatives",
  "bash.bashrc",
  "ca-certificates",
  "ca-certificates.conf",
  "crypto-policies",
  "debian_version",
  "fonts",
  "gai.conf",
  "host.conf",
  "inputrc",
  "ld.so.cache",
  "ld.so.conf",
  "ld.so.conf.d",
  "localtime",
  "magic",
  "mime.types",
  "os-release",
  "perl",
  "pki",
  "profile",
  "profile.d",
  "protocols",
  "redhat-release",
  "services",
  "shells",
  "ssl",
  "terminfo",
  "timezone",
];

/** The system's bundles of authorities as they lie in the view: after links, in directories that are bound as they are. */
export function shownBundles(): string[] {
  const shown = hostConfiguration.map((name) => `/etc/${name}`).filter((path) => inspect(path).real === path);
  const files = SYSTEM_BUNDLES.map(inspect).filter(({ kind, real }) => kind === "file" && shown.some((path) => isBelow(real, path)));
  return [...new Set(files.map(({ real }) => real))];
}

/** Device nodes taken from the host; the rest of its /dev does not exist in a box. */
export const deviceNodes: readonly string[] = ["null", "zero", "full", "random", "urandom", "tty"];

/** Links that programs expect in /dev. */
export const deviceLinks: Readonly<Record<string, string>> = {
  fd: "/proc/self/fd",
  stdin: "/proc/self/fd/0",
  stdout: "/proc/self/fd/1",
  stderr: "/proc/self/fd/2",
  ptmx: "pts/ptmx",
};

/** The few devices are part of every box, whatever the policy lists; shared memory follows the permission for /tmp. */
export function deviceRules(scratch: boolean): LandlockRule[] {
  const devices: LandlockRule = { path: "/dev", access: "device", required: true };
  return scratch ? [devices, { path: "/dev/shm", access: "write", required: false }] : [devices];
}

/** Hidden behind an empty device: host-wide facts that are no business of an agent. */
export const maskedProcFiles: readonly string[] = ["kcore", "keys", "key-users", "timer_list", "sysrq-trigger", "sched_debug"];
