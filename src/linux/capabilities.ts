import { readFileSync } from "node:fs";

/** Numbers of include/uapi/linux/capability.h: those that building and watching a box takes. */
export const capabilities = {
  chown: 0,
  dac_override: 1,
  dac_read_search: 2,
  fowner: 3,
  kill: 5,
  setgid: 6,
  setuid: 7,
  setpcap: 8,
  net_bind_service: 10,
  net_admin: 12,
  net_raw: 13,
  sys_chroot: 18,
  sys_ptrace: 19,
  sys_admin: 21,
  sys_resource: 24,
} as const;
export type Capability = keyof typeof capabilities;

/** The calling thread's effective capabilities among those named here; they hold in its own user namespace. */
export function effectiveCapabilities(): Set<Capability> {
  const mask = BigInt(`0x${/^CapEff:\s+([0-9a-f]+)$/m.exec(readFileSync("/proc/thread-self/status", "latin1"))?.[1] ?? "0"}`);
  const names = Object.keys(capabilities) as Capability[];
  return new Set(names.filter((name) => (mask >> BigInt(capabilities[name])) & 1n));
}

/** Whether the calling thread has this capability in effect. */
export function hasCapability(name: Capability): boolean {
  return effectiveCapabilities().has(name);
}
