import { type Architecture, type SyscallName, syscallNumber } from "../syscall-numbers.ts";
import { FilterAssembler, type Instruction } from "./assembler.ts";

/** Actions (include/uapi/linux/seccomp.h). */
export const SECCOMP_RET_KILL_PROCESS = 0x80000000;
export const SECCOMP_RET_ALLOW = 0x7fff0000;
export const SECCOMP_RET_USER_NOTIF = 0x7fc00000;
const SECCOMP_RET_ERRNO = 0x00050000;
/** The call fails with this error number. */
export const failWith = (errno: number): number => SECCOMP_RET_ERRNO | errno;

/** include/uapi/linux/audit.h */
export const AUDIT_ARCH: Readonly<Record<Architecture, number>> = { x64: 0xc000003e, arm64: 0xc00000b7 };

/** struct seccomp_data: int nr; u32 arch; u64 instruction_pointer; u64 args[6]. The kernel reads the arguments below as 32-bit values. */
const NUMBER = 0;
const ARCH = 4;
const argument = (index: number): number => 16 + 8 * index;

const EPERM = 1;
const ENOSYS = 38;
const EPROTONOSUPPORT = 93;
const EOPNOTSUPP = 95;
const EAFNOSUPPORT = 97;

/** Bit of the x32 ABI in a system call number. */
const X32_BIT = 0x40000000;

/** NEWTIME is not here: clone(2) reads that bit as part of the exit signal. */
const CLONE_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000;
const CLONE_NEWTIME = 0x80;

/** Refused whatever the arguments are. */
export const deniedCalls: readonly SyscallName[] = [
  // file systems and namespaces
  ...(["mount", "umount2", "pivot_root", "chroot", "open_tree", "open_tree_attr", "move_mount", "mount_setattr"] as const),
  ...(["fsopen", "fsconfig", "fsmount", "fspick", "setns", "open_by_handle_at", "name_to_handle_at", "fanotify_init"] as const),
  // other processes: their memory, descriptors and registers
  ...(["ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "kcmp"] as const),
  ...(["pidfd_open", "pidfd_getfd", "pidfd_send_signal"] as const),
  // large kernel surfaces that an agent does not need
  ...(["bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"] as const),
  ...(["keyctl", "add_key", "request_key", "lookup_dcookie", "nfsservctl", "vhangup"] as const),
  // programs without a file, which no path rule can name
  ...(["memfd_create", "memfd_secret"] as const),
  // the machine
  ...(["init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff"] as const),
  ...([
    "acct",
    "quotactl",
    "quotactl_fd",
    "syslog",
    "settimeofday",
    "clock_settime",
    "adjtimex",
    "clock_adjtime",
    "ioperm",
    "iopl",
  ] as const),
];

/** The main filter of every program in a box: everything not named here is allowed. */
export function agentFilter(arch: Architecture): Instruction[] {
  const filter = new FilterAssembler();
  filter.load(ARCH).ifEqual(AUDIT_ARCH[arch], "native").return(SECCOMP_RET_KILL_PROCESS).label("native");
  filter.load(NUMBER);
  if (arch === "x64") filter.ifAtLeast(X32_BIT, "nosys");

  const number = (name: SyscallName): number => syscallNumber(name, arch);
  for (const name of deniedCalls) if (number(name) >= 0) filter.ifEqual(number(name), "deny");
  // Its flags are in memory, where a filter cannot look; C libraries fall back to clone(2).
  filter.ifEqual(number("clone3"), "nosys");
  for (const name of conditionalCalls) filter.ifEqual(number(name), name);
  filter.return(SECCOMP_RET_ALLOW);

  filter.label("clone").load(argument(0)).ifAnyBit(CLONE_NAMESPACES, "deny", "allow");
  filter
    .label("unshare")
    .load(argument(0))
    .ifAnyBit(CLONE_NAMESPACES | CLONE_NEWTIME, "deny", "allow");
  const AT_EMPTY_PATH = 0x1000;
  filter.label("execveat").load(argument(4)).ifAnyBit(AT_EMPTY_PATH, "deny", "allow");
  const SECCOMP_SET_MODE_FILTER = 1;
  filter.label("seccomp").load(argument(0)).ifEqual(SECCOMP_SET_MODE_FILTER, "deny", "allow");
  const PR_SET_SECCOMP = 22;
  const PR_SET_MM = 35;
  filter.label("prctl").load(argument(0)).ifEqual(PR_SET_SECCOMP, "deny").ifEqual(PR_SET_MM, "deny", "allow");
  const TIOCSTI = 0x5412;
  const TIOCLINUX = 0x541c;
  filter.label("ioctl").load(argument(1)).ifEqual(TIOCSTI, "deny").ifEqual(TIOCLINUX, "deny", "allow");
  // Data in the first packet would open a connection without connect(2), hence without an identity.
  const MSG_FASTOPEN = 0x20000000;
  filter.label("sendto").load(argument(3)).ifAnyBit(MSG_FASTOPEN, "fastopen", "allow");
  filter.label("sendmsg").load(argument(2)).ifAnyBit(MSG_FASTOPEN, "fastopen", "allow");
  filter.label("sendmmsg").load(argument(3)).ifAnyBit(MSG_FASTOPEN, "fastopen", "allow");
  // Another process's limits: our init has the agent's uid where an ordinary user started the sandbox.
  filter.label("prlimit64").load(argument(0)).ifEqual(0, "allow", "deny");
  personality(filter);
  sockets(filter);

  filter.label("allow").return(SECCOMP_RET_ALLOW);
  filter.label("deny").return(failWith(EPERM));
  filter.label("nosys").return(failWith(ENOSYS));
  filter.label("fastopen").return(failWith(EOPNOTSUPP));
  filter.label("family").return(failWith(EAFNOSUPPORT));
  filter.label("protocol").return(failWith(EPROTONOSUPPORT));
  return filter.assemble();
}

const conditionalCalls = [
  "clone",
  "unshare",
  "execveat",
  "seccomp",
  "prctl",
  "ioctl",
  "sendto",
  "sendmsg",
  "sendmmsg",
  "personality",
  "prlimit64",
  "socket",
  "socketpair",
] as const satisfies readonly SyscallName[];

/** The values container engines allow: Linux, UNAME26 and the query; never READ_IMPLIES_EXEC or ADDR_NO_RANDOMIZE. */
function personality(filter: FilterAssembler): void {
  filter.label("personality").load(argument(0));
  for (const value of [0x0, 0x8, 0x20000, 0x20008, 0xffffffff]) filter.ifEqual(value, "allow");
  filter.goto("deny");
}

/** Sockets by allow-list: UNIX, INET and INET6 with STREAM (TCP) and DGRAM (UDP), NETLINK_ROUTE for listing interfaces. */
function sockets(filter: FilterAssembler): void {
  const AF_UNIX = 1;
  const AF_INET = 2;
  const AF_INET6 = 10;
  const AF_NETLINK = 16;
  const SOCK_STREAM = 1;
  const SOCK_DGRAM = 2;
  const SOCK_TYPE_MASK = 0xf;
  const IPPROTO_TCP = 6;
  const IPPROTO_UDP = 17;
  const NETLINK_ROUTE = 0;
  filter.label("socketpair").load(argument(0)).ifEqual(AF_UNIX, "allow", "family");
  filter.label("socket").load(argument(0)).ifEqual(AF_UNIX, "allow").ifEqual(AF_NETLINK, "netlink");
  filter.ifEqual(AF_INET, "internet").ifEqual(AF_INET6, "internet", "family");
  filter.label("netlink").load(argument(2)).ifEqual(NETLINK_ROUTE, "allow", "family");
  filter.label("internet").load(argument(1)).mask(SOCK_TYPE_MASK).ifEqual(SOCK_STREAM, "stream").ifEqual(SOCK_DGRAM, "datagram", "deny");
  filter.label("stream").load(argument(2)).ifEqual(0, "allow").ifEqual(IPPROTO_TCP, "allow", "protocol");
  filter.label("datagram").load(argument(2)).ifEqual(0, "allow").ifEqual(IPPROTO_UDP, "allow", "protocol");
}

/** The second filter: reports every connect(2) to the supervisor before it happens. */
export function connectFilter(arch: Architecture): Instruction[] {
  return (
    new FilterAssembler()
      // Another architecture is killed by the main filter; here it must only not be mistaken for ours.
      .load(ARCH)
      .ifEqual(AUDIT_ARCH[arch], undefined, "allow")
      .load(NUMBER)
      .ifEqual(syscallNumber("connect", arch), undefined, "allow")
      .return(SECCOMP_RET_USER_NOTIF)
      .label("allow")
      .return(SECCOMP_RET_ALLOW)
      .assemble()
  );
}
