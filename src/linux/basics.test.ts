import { expect, test } from "bun:test";
import { openSync, rmSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { close, pipe, readInto, writeAll } from "./descriptors.ts";
import { tryLock } from "./file-lock.ts";
import { KernelError } from "./kernel-error.ts";
import { check, cString, syscall } from "./libc.ts";
import { listAddresses } from "./netlink/route.ts";
import { pidfdGetfd, pidfdOpen, pidfdSendSignal, pidOfPidfd } from "./pidfd.ts";
import { bootId, isAlive, parentOf, startTime } from "./process-facts.ts";

test("a failed call carries its name, its error and a code", () => {
  try {
    check(syscall("openat", -100, cString("/does/not/exist"), 0, 0), "open", "/does/not/exist");
    throw new Error("the call succeeded");
  } catch (reason) {
    expect(reason).toBeInstanceOf(KernelError);
    expect((reason as KernelError).message).toBe("open /does/not/exist: ENOENT");
    expect((reason as KernelError).code).toBe("not_found");
  }
});

test("a NUL byte never reaches the kernel", () => {
  expect(() => cString("/etc/\0passwd")).toThrow("NUL");
});

test("a descriptor of another process can be taken and read", async () => {
  const child = Bun.spawn(["/bin/sh", "-c", "exec 7</etc/hostname; echo ready; read wait"], { stdin: "pipe", stdout: "pipe" });
  await child.stdout.getReader().read();
  const pidfd = pidfdOpen(child.pid);
  expect(pidOfPidfd(pidfd)).toBe(child.pid);
  const fd = pidfdGetfd(pidfd, 7);
  const buffer = Buffer.alloc(256);
  expect(buffer.subarray(0, readInto(fd, buffer)).toString()).toBe(await Bun.file("/etc/hostname").text());
  expect(pidfdSendSignal(pidfd, 9)).toBe(true);
  await child.exited;
  expect(pidfdSendSignal(pidfd, 9)).toBe(false);
  close(fd);
  close(pidfd);
});

test("a process is alive only under its own start time", async () => {
  const child = Bun.spawn(["/bin/cat"], { stdin: "pipe" });
  const start = startTime(child.pid);
  if (start === undefined) throw new Error("no start time");
  expect(parentOf(child.pid)).toBe(process.pid);
  expect(isAlive(child.pid, start)).toBe(true);
  expect(isAlive(child.pid, start + 1)).toBe(false);
  child.stdin.end();
  await child.exited;
  expect(isAlive(child.pid, start)).toBe(false);
  expect(bootId()).toMatch(/^[0-9a-f-]{36}$/);
});

test("two open files compete for one lock", () => {
  const path = `${process.env["TMPDIR"] ?? "/tmp"}/openshell-lock-${process.pid}`;
  const first = openSync(path, "w");
  const second = openSync(path, "w");
  expect(tryLock(first)).toBe(true);
  expect(tryLock(second)).toBe(false);
  close(first);
  expect(tryLock(second)).toBe(true);
  close(second);
  rmSync(path);
});

test("every address of the host is listed", () => {
  const known = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .map((entry) => entry.address);
  expect(listAddresses()).toEqual(expect.arrayContaining(known));
});

test("a pipe carries bytes", () => {
  const { read, write } = pipe();
  writeAll(write, Buffer.from("hello"));
  const buffer = Buffer.alloc(16);
  expect(buffer.subarray(0, readInto(read, buffer)).toString()).toBe("hello");
  close(read);
  close(write);
});
