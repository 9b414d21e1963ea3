import { afterAll, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FileIdentity, ProgramIdentity } from "../box/contract.ts";
import { hashImage, MAX_BINARY_BYTES } from "./binary-hash.worker.ts";
import { BinaryTrust } from "./binary-trust.ts";
import { fileIdentityOf } from "./file-identity.ts";

const directory = mkdtempSync(join(tmpdir(), "trust-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** A running copy of `sleep`, and its identity as the box would record it. */
function start(path: string) {
  copyFileSync("/bin/sleep", path);
  const child = Bun.spawn([path, "60"]);
  const program: ProgramIdentity = { pid: child.pid, startTime: 1, exe: path, file: identify(path), ancestors: [], commandLine: "" };
  return { program, [Symbol.dispose]: () => child.kill() };
}
const identify = (path: string): FileIdentity => fileIdentityOf(statSync(path, { bigint: true }));

test("the image of a running program is hashed in a worker, and known afterwards", async () => {
  using running = start(join(directory, "a"));
  using trust = new BinaryTrust();
  const sha256 = new Bun.CryptoHasher("sha256").update(readFileSync(running.program.exe)).digest("hex");
  const first = trust.check(running.program);
  expect(first).toBeInstanceOf(Promise);
  expect(trust.check(running.program)).toBe(first as never);
  expect(await first).toEqual({ trusted: true, sha256 });
  expect(trust.check(running.program)).toEqual({ trusted: true, sha256 });
});

test("threat-35: a program that is no longer the recorded file has no hash", () => {
  using running = start(join(directory, "b"));
  const { pid, file } = running.program;
  expect(hashImage(pid, file)).toHaveProperty("sha256");
  expect(hashImage(pid, { ...file, mtimeNs: "1" })).toEqual({ problem: "the program has changed since it connected" });
  expect(hashImage(process.pid, file)).toEqual({ problem: "the program has changed since it connected" });
  expect(hashImage(2 ** 22 + 1, file)).toEqual({ problem: expect.stringContaining("could not be read") });
});

test("threat-16: a huge sparse executable is refused without opening it", () => {
  const big = join(directory, "big");
  writeFileSync(big, "");
  truncateSync(big, MAX_BINARY_BYTES + 1);
  expect(hashImage(process.pid, identify(big))).toEqual({ problem: expect.stringContaining(`at most ${MAX_BINARY_BYTES} are hashed`) });
});

test("a hash that cannot be had is a denial, not a trust", async () => {
  using trust = new BinaryTrust(async () => ({ problem: "gone" }));
  using running = start(join(directory, "d"));
  expect(await trust.check(running.program)).toEqual({ trusted: false, reason: expect.stringContaining("gone") });
});
