import { fstatSync } from "node:fs";
import { AT_FDCWD, close, O_PATH, openAt } from "./descriptors.ts";
import { check, syscall } from "./libc.ts";

/** LANDLOCK_ACCESS_FS_* (include/uapi/linux/landlock.h), with the ABI that brought each. */
const EXECUTE = 1 << 0;
const WRITE_FILE = 1 << 1;
const READ_FILE = 1 << 2;
const READ_DIR = 1 << 3;
const TRUNCATE = 1 << 14;
const IOCTL_DEV = 1 << 15;
const READ = EXECUTE | READ_FILE | READ_DIR;
/** Rights that make sense on something that is not a directory; others are EINVAL there. */
const FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

/** Renaming across directories (REFER) needs 2; without it package managers fail, so 1 counts as absent. */
export const LANDLOCK_MINIMUM_ABI = 2;

/** What a rule grants: reading and running, everything, or using devices without creating or removing anything. */
export type LandlockAccess = "read" | "write" | "device";

export interface LandlockRule {
  readonly path: string;
  readonly access: LandlockAccess;
  /** A missing path is an error; otherwise the rule is left out. */
  readonly required: boolean;
}

/** The kernel's Landlock version; 0 when it has none, or it is turned off. */
export function landlockAbi(): number {
  const LANDLOCK_CREATE_RULESET_VERSION = 1;
  const version = syscall("landlock_create_ruleset", null, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return Math.max(version, 0);
}

/** All file rights that this version handles. */
export function handledRights(abi: number): number {
  if (abi >= 5) return 0xffff;
  if (abi >= 3) return 0x7fff;
  return 0x3fff;
}

function rights(access: LandlockAccess, directory: boolean, handled: number): number {
  const wanted = { read: READ, write: 0xffff, device: READ_FILE | READ_DIR | WRITE_FILE | TRUNCATE | IOCTL_DEV }[access];
  return wanted & handled & (directory ? 0xffff : FILE_RIGHTS);
}

/**
 * A rule set of the calling process's current root. Paths are opened now, with today's privileges; they bind by inode. The caller enforces
 * it with `restrictSelf` and closes it.
 */
export function createRuleset(abi: number, rules: readonly LandlockRule[]): number {
  const handled = handledRights(abi);
  // struct landlock_ruleset_attr { u64 handled_access_fs, handled_access_net, scoped }, growing with the ABI. The network is not handled
  // here: the box's namespaces do that. Scoped: abstract Unix sockets (1) and signals (2) to processes outside.
  const attributes = new BigUint64Array([BigInt(handled), 0n, abi >= 6 ? 3n : 0n]);
  const size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
  const ruleset = check(syscall("landlock_create_ruleset", attributes, size, 0), "landlock_create_ruleset");
  try {
    for (const rule of rules) addRule(ruleset, rule, handled);
    return ruleset;
  } catch (reason) {
    close(ruleset);
    throw reason;
  }
}

function addRule(ruleset: number, rule: LandlockRule, handled: number): void {
  const LANDLOCK_RULE_PATH_BENEATH = 1;
  let path: number;
  try {
    path = openAt(AT_FDCWD, rule.path, O_PATH);
  } catch (reason) {
    if (rule.required) throw reason;
    return;
  }
  try {
    // struct landlock_path_beneath_attr: packed, 12 bytes.
    const attributes = Buffer.alloc(12);
    attributes.writeBigUInt64LE(BigInt(rights(rule.access, fstatSync(path).isDirectory(), handled)), 0);
    attributes.writeInt32LE(path, 8);
    check(syscall("landlock_add_rule", ruleset, LANDLOCK_RULE_PATH_BENEATH, attributes, 0), "landlock_add_rule", rule.path);
  } finally {
    close(path);
  }
}

/** Enforces a rule set on the calling thread and its future children, for good. Needs no_new_privs. */
export function restrictSelf(ruleset: number): void {
  check(syscall("landlock_restrict_self", ruleset, 0), "landlock_restrict_self");
}
