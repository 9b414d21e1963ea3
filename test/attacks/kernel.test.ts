/** The kernel's surface as a confined program finds it, beside what the same program can do outside. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Arena, AS_USER, missingForAttacks, type Outcome, PERL } from "./arena.ts";
import { otherAbiProgram } from "./other-abi.ts";

const missing = missingForAttacks();
if (missing !== undefined) console.log(`skipped: attacks on the kernel's surface: ${missing}`);

describe.skipIf(missing !== undefined)("the kernel's surface", () => {
  let arena: Arena;
  let inside: Outcome["probes"];
  let outside: Outcome["probes"];

  beforeAll(async () => {
    arena = await Arena.open();
    const tools = arena.directory("tools");
    chmodSync(tools, 0o755);
    const setuid = join(tools, "perl");
    copyFileSync(PERL, setuid);
    chmodSync(setuid, 0o4755);
    writeFileSync(join(tools, "other-abi"), otherAbiProgram, { mode: 0o755 });
    const env = { TOOLS: tools };
    [inside, outside] = await Promise.all([
      arena.run("kernel.pl", { env: { TOOLS: "/tools" }, mounts: [`${tools}:/tools:ro`] }).then(told),
      arena.outside("kernel.pl", env).then(told),
    ]);
  });
  afterAll(() => arena?.[Symbol.asyncDispose]());

  function told({ probes, exitCode, stderr }: Outcome): Outcome["probes"] {
    if (exitCode !== 0) throw new Error(`exit ${exitCode}: ${stderr}`);
    return probes;
  }

  /** What a kernel answers that lacks a feature, or keeps it from ordinary users. */
  const LACKING = ["ENOSYS", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EPERM", "EACCES"];
  let controls = 0;

  /** Each probe fails inside with this error; those that an ordinary user may do outside have a plus in front. */
  function refused(error: string, ...probes: readonly string[]): void {
    for (const probe of probes) {
      const name = probe.replace(/^\+/, "");
      expect({ probe: name, inside: inside[name] }).toEqual({ probe: name, inside: error });
      if (!probe.startsWith("+")) continue;
      expect(["ok", ...LACKING]).toContain(outside[name] ?? "no answer");
      if (outside[name] === "ok") controls += 1;
    }
  }

  test("threat-05: no process gains a user namespace, a capability or another executable's name", () => {
    refused("EPERM", "+unshare user", "unshare user, high bits set", "+clone into a user namespace", "capset");
    // In the user namespace of an ordinary user there is no user 0 at all.
    refused(AS_USER === 0 ? "EPERM" : "EINVAL", "own uid stays");
    refused("EPERM", "+prctl PR_SET_MM_MAP_SIZE", "prctl PR_SET_MM_EXE_FILE", "+prctl PR_SET_MM, high bits set");
    refused("ENOSYS", "+clone3");
    expect(inside["no_new_privs"]).toBe("on");
  });

  test("threat-06: no other process's memory, registers or descriptors", () => {
    refused(
      "EPERM",
      "+ptrace attach",
      "+ptrace traceme",
      "+process_vm_readv",
      "+process_vm_writev",
      "+pidfd_getfd",
      "+kcmp",
      "+userfaultfd",
    );
    refused("EACCES", "+write /proc/PID/mem", "+write /proc/self/mem");
  });

  test("threat-31, case-94: socket families outside the allow-list do not exist", () => {
    refused("EAFNOSUPPORT", "socket packet", "socket packet datagram", "+socket vsock", "socket alg", "socket bluetooth", "socket xdp");
    refused("EAFNOSUPPORT", "socket SMC", "socket key", "socket x25", "+socket NETLINK_SOCK_DIAG", "+socket NETLINK_GENERIC");
    refused("EAFNOSUPPORT", "+socket NETLINK_NETFILTER", "+socket NETLINK_KOBJECT_UEVENT", "+socket NETLINK_AUDIT");
    refused("EPERM", "socket raw ICMP", "socket raw IP", "socket raw ICMPv6", "socket DCCP");
    refused("EPROTONOSUPPORT", "socket ping", "socket SCTP", "+socket MPTCP", "+socket UDP-Lite");
    for (const usual of ["TCP", "TCP6", "UDP", "UDP6", "UNIX", "NETLINK_ROUTE"]) expect(inside[`socket ${usual}`]).toBe("ok");
  });

  test("threat-31: the system calls of other ABIs are no way round the filter", () => {
    refused("ENOSYS", "x32 getpid");
    if (process.arch !== "x64") return;
    expect(outside["int 0x80"]).toBe("ran");
    expect(inside["int 0x80"]).toBe("signal 31");
  });

  test("case-94: mounts, namespaces, bpf, io_uring and programs without a file are EPERM", () => {
    refused("EPERM", "unshare net", "unshare mount", "unshare pid", "setns", "mount tmpfs", "remount root writable", "bind over /etc");
    refused("EPERM", "umount /proc/1", "pivot_root", "chroot", "fsopen", "open_tree", "mount_setattr", "open_by_handle_at");
    refused("EPERM", "bpf", "perf_event_open", "+io_uring_setup", "+keyctl", "add a filter", "seccomp listener");
    refused("EPERM", "+memfd_create", "+memfd exec", "execveat of a descriptor", "+personality READ_IMPLIES_EXEC", "mknod of a disk");
  });

  test("nothing can be typed into a terminal", () => {
    refused("EPERM", "ioctl TIOCSTI", "ioctl TIOCLINUX", "ioctl TIOCSTI, high bits set");
  });

  test("case-95: a set-user-id program runs as the caller, who is `sandbox` and stays it; no core dumps", () => {
    expect(outside["set-user-id program"]).toBe("root");
    expect(inside["set-user-id program"]).toBe("uid of the caller");
    expect(inside["account"]).toBe("sandbox");
    expect(inside["set-user-id file of one's own"]).toBe("uid of the caller");
    expect(inside["core dumps"]).toBe("0 0");
  });

  test("the probes work: most of what an ordinary user may do outside succeeded there", () => {
    expect(controls).toBeGreaterThan(10);
  });
});
