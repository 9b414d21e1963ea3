import { describe, expect, test } from "bun:test";
import { type Architecture, type SyscallName, syscallNumber } from "../syscall-numbers.ts";
import {
  AUDIT_ARCH,
  agentFilter,
  connectFilter,
  deniedCalls,
  failWith,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_KILL_PROCESS,
  SECCOMP_RET_USER_NOTIF,
} from "./agent-filter.ts";
import { FilterAssembler } from "./assembler.ts";
import { interpret } from "./interpreter.ts";

const EPERM = failWith(1);
const ENOSYS = failWith(38);
const EPROTONOSUPPORT = failWith(93);
const EOPNOTSUPP = failWith(95);
const EAFNOSUPPORT = failWith(97);

const architectures: Architecture[] = ["x64", "arm64"];
for (const arch of architectures) {
  const filter = agentFilter(arch);
  const run = (name: SyscallName, ...args: (number | bigint)[]) =>
    interpret(filter, { arch: AUDIT_ARCH[arch], nr: syscallNumber(name, arch), args: args.map(BigInt) });

  describe(`agent filter on ${arch}`, () => {
    test("ordinary calls pass", () => {
      for (const name of ["read", "write", "openat", "execve", "connect", "bind", "wait4", "landlock_create_ruleset", "kill"] as const) {
        expect(run(name, 1, 2, 3)).toBe(SECCOMP_RET_ALLOW);
      }
    });

    test("every call of the list is refused", () => {
      for (const name of deniedCalls) if (syscallNumber(name, arch) >= 0) expect([name, run(name)]).toEqual([name, EPERM]);
    });

    test("another architecture is killed", () => {
      const other = AUDIT_ARCH[arch === "x64" ? "arm64" : "x64"];
      expect(interpret(filter, { arch: other, nr: 0, args: [] })).toBe(SECCOMP_RET_KILL_PROCESS);
      expect(interpret(filter, { arch: 0x40000003, nr: 0, args: [] })).toBe(SECCOMP_RET_KILL_PROCESS);
    });

    test("threads and forks pass, every namespace flag is refused", () => {
      expect(run("clone", 0x003d0f00)).toBe(SECCOMP_RET_ALLOW);
      expect(run("clone", 17)).toBe(SECCOMP_RET_ALLOW);
      expect(run("clone3")).toBe(ENOSYS);
      for (const flag of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]) {
        expect(run("clone", flag | 17)).toBe(EPERM);
        expect(run("unshare", flag)).toBe(EPERM);
      }
      expect(run("unshare", 0x80)).toBe(EPERM);
      expect(run("unshare", 0x200)).toBe(SECCOMP_RET_ALLOW);
    });

    test("execveat runs paths, not descriptors", () => {
      expect(run("execveat", 3, 0, 0, 0, 0x1000)).toBe(EPERM);
      expect(run("execveat", -100, 0, 0, 0, 0)).toBe(SECCOMP_RET_ALLOW);
    });

    test("upper halves of 32-bit arguments hide nothing", () => {
      const high = 0xdead_0000_0000n;
      expect(run("ioctl", 0, high | 0x5412n)).toBe(EPERM);
      expect(run("prctl", high | 35n)).toBe(EPERM);
      expect(run("socket", high | 17n, 3, 0)).toBe(EAFNOSUPPORT);
    });

    test("prctl, seccomp and ioctl keep their harmless uses", () => {
      expect(run("prctl", 35)).toBe(EPERM);
      expect(run("prctl", 22, 2)).toBe(EPERM);
      expect(run("prctl", 15)).toBe(SECCOMP_RET_ALLOW);
      expect(run("seccomp", 1)).toBe(EPERM);
      expect(run("seccomp", 2)).toBe(SECCOMP_RET_ALLOW);
      expect(run("ioctl", 0, 0x5412)).toBe(EPERM);
      expect(run("ioctl", 0, 0x541c)).toBe(EPERM);
      expect(run("ioctl", 0, 0x5413)).toBe(SECCOMP_RET_ALLOW);
      expect(run("personality", 0xffffffff)).toBe(SECCOMP_RET_ALLOW);
      expect(run("personality", 0x0400000)).toBe(EPERM);
      expect(run("prlimit64", 0)).toBe(SECCOMP_RET_ALLOW);
      expect(run("prlimit64", 1)).toBe(EPERM);
    });

    test("sockets are an allow-list", () => {
      const stream = 1;
      const nonblocking = 0o4000 | 0o2000000;
      expect(run("socket", 1, stream, 0)).toBe(SECCOMP_RET_ALLOW);
      for (const family of [2, 10]) {
        expect(run("socket", family, stream | nonblocking, 0)).toBe(SECCOMP_RET_ALLOW);
        expect(run("socket", family, stream, 6)).toBe(SECCOMP_RET_ALLOW);
        expect(run("socket", family, 2, 17)).toBe(SECCOMP_RET_ALLOW);
        expect(run("socket", family, 3, 1)).toBe(EPERM);
        expect(run("socket", family, 10, 0)).toBe(EPERM);
        expect(run("socket", family, stream, 132)).toBe(EPROTONOSUPPORT);
        expect(run("socket", family, stream, 262)).toBe(EPROTONOSUPPORT);
        expect(run("socket", family, 2, 1)).toBe(EPROTONOSUPPORT);
      }
      expect(run("socket", 16, 3, 0)).toBe(SECCOMP_RET_ALLOW);
      for (const protocol of [4, 9, 16]) expect(run("socket", 16, 3, protocol)).toBe(EAFNOSUPPORT);
      for (const family of [17, 31, 38, 40, 43, 44]) expect(run("socket", family, stream, 0)).toBe(EAFNOSUPPORT);
      expect(run("socketpair", 1, 1, 0)).toBe(SECCOMP_RET_ALLOW);
      expect(run("socketpair", 30, 1, 0)).toBe(EAFNOSUPPORT);
    });

    test("no connection without connect(2)", () => {
      expect(run("sendto", 3, 0, 0, 0x20000000)).toBe(EOPNOTSUPP);
      expect(run("sendmsg", 3, 0, 0x20004000)).toBe(EOPNOTSUPP);
      expect(run("sendmmsg", 3, 0, 1, 0x20000000)).toBe(EOPNOTSUPP);
      expect(run("sendto", 3, 0, 0, 0x4000)).toBe(SECCOMP_RET_ALLOW);
    });

    test("connect is reported, nothing else", () => {
      const notify = connectFilter(arch);
      expect(interpret(notify, { arch: AUDIT_ARCH[arch], nr: syscallNumber("connect", arch), args: [] })).toBe(SECCOMP_RET_USER_NOTIF);
      expect(interpret(notify, { arch: AUDIT_ARCH[arch], nr: syscallNumber("read", arch), args: [] })).toBe(SECCOMP_RET_ALLOW);
      expect(interpret(notify, { arch: 0x40000003, nr: syscallNumber("connect", arch), args: [] })).toBe(SECCOMP_RET_ALLOW);
    });
  });
}

test("the x32 ABI does not exist", () => {
  expect(interpret(agentFilter("x64"), { arch: AUDIT_ARCH.x64, nr: 0x40000000 + 42, args: [] })).toBe(ENOSYS);
});

test("a wrong label is an error when the filter is written, not when it runs", () => {
  expect(() => new FilterAssembler().ifEqual(1, "nowhere").assemble()).toThrow("missing");
  expect(() => new FilterAssembler().label("back").load(0).goto("back").assemble()).toThrow("behind");
  expect(() => new FilterAssembler().label("twice").label("twice")).toThrow("twice");
  const far = new FilterAssembler().ifEqual(1, "end");
  for (let index = 0; index < 300; index += 1) far.load(0);
  expect(() => far.label("end").return(0).assemble()).toThrow("at most 255");
});
