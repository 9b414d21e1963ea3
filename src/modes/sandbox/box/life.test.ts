import { expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { close } from "../../../linux/descriptors.ts";
import { pidfdOpen } from "../../../linux/pidfd.ts";
import { waitForAny } from "../../../linux/poll.ts";
import { AGENT_UID, defaultFilesystem, launchOf, openTestBox } from "./box-fixture.ts";

const processesOfAgent = () =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const status = readFileSync(`/proc/${pid}/status`, "utf8");
        return new RegExp(`^Uid:\\s+${AGENT_UID}\\s`, "m").test(status) && !/^State:\s+[ZX]/m.test(status);
      } catch {
        return false;
      }
    });

/** A process on its way out closes its files a moment before it is gone. */
function waitForEnd(pid: number): void {
  try {
    const pidfd = pidfdOpen(pid);
    waitForAny([pidfd]);
    close(pidfd);
  } catch {
    // Gone already.
  }
}

test("disposing a box ends its programs and leaves no descriptor, mount or process", async () => {
  await openTestBox().then((warm) => warm[Symbol.asyncDispose]());
  const descriptors = () => readdirSync("/proc/self/fd").length;
  const before = { fds: descriptors(), mounts: readFileSync("/proc/self/mounts", "utf8"), network: readlinkSync("/proc/self/ns/net") };
  const agent = await openTestBox();
  const child = await agent.box.launch({ ...launchOf(["/bin/sh", "-c", "setsid sleep 1000 & sleep 1000"]), stdio: "inherit" });
  await agent[Symbol.asyncDispose]();
  await agent.box.ended;
  expect(await child.exited).toBe(137);
  expect(processesOfAgent()).toEqual([]);
  expect(descriptors()).toBe(before.fds);
  expect(readFileSync("/proc/self/mounts", "utf8")).toBe(before.mounts);
  expect(readlinkSync("/proc/self/ns/net")).toBe(before.network);
  expect(existsSync(agent.spec.runDirectory)).toBe(false);
});

test("threat-17: kill -9 of the supervisor leaves no process", async () => {
  const script = `
    import { openTestBox, launchOf } from ${JSON.stringify(join(import.meta.dir, "box-fixture.ts"))};
    const agent = await openTestBox();
    await agent.box.launch({ ...launchOf(["/bin/sh", "-c", "setsid sleep 1000 & exec sleep 1000"]), stdio: "inherit" });
    console.log("up " + agent.spec.runDirectory);
    setInterval(() => {}, 1000);`;
  const directory = mkdtempSync(join(tmpdir(), "openshell-supervisor-"));
  const path = join(directory, "supervisor.ts");
  writeFileSync(path, script);
  const supervisor = Bun.spawn([process.execPath, path], { stdout: "pipe" });
  const reader = supervisor.stdout.getReader();
  const line = new TextDecoder().decode((await reader.read()).value).trim();
  expect(line).toStartWith("up ");
  expect(processesOfAgent().length).toBeGreaterThan(0);
  supervisor.kill("SIGKILL");
  await supervisor.exited;
  // Every process of the box has our pipe open: a survivor would make this wait until the test's time is over.
  while (!(await reader.read()).done);
  for (const pid of processesOfAgent()) waitForEnd(Number(pid));
  expect(processesOfAgent()).toEqual([]);
  rmSync(directory, { recursive: true });
  rmSync(join(line.slice(3), ".."), { recursive: true, force: true });
});

test("a read_write path that is a symbolic link is refused", async () => {
  const directory = mkdtempSync(join(tmpdir(), "openshell-link-"));
  symlinkSync("/etc", join("/var/tmp", `openshell-link-${process.pid}`));
  const link = `/var/tmp/openshell-link-${process.pid}`;
  try {
    const filesystem = { ...defaultFilesystem, readWrite: [...defaultFilesystem.readWrite, link] };
    await expect(openTestBox({ filesystem })).rejects.toThrow("symbolic link");
  } finally {
    rmSync(link);
    rmSync(directory, { recursive: true });
  }
});

test("a missing policy path is left out with best_effort and refused with hard_requirement", async () => {
  const filesystem = { ...defaultFilesystem, readOnly: [...defaultFilesystem.readOnly, "/no/such/path"] };
  await using agent = await openTestBox({ filesystem });
  expect(agent.box.enforcement.find((one) => one.feature === "policy-paths")?.detail).toContain("/no/such/path");
  await expect(openTestBox({ filesystem, landlock: "hard_requirement" })).rejects.toThrow("/no/such/path");
  await using strict = await openTestBox({ landlock: "hard_requirement" });
  expect((await strict.sh("echo ok")).stdout).toBe("ok\n");
});

test("extra mounts appear where they should, read-only unless asked otherwise", async () => {
  const directory = mkdtempSync("/var/tmp/openshell-mount-");
  mkdirSync(join(directory, "data"));
  writeFileSync(join(directory, "data/file"), "content");
  Bun.spawnSync(["chown", "-R", String(AGENT_UID), directory]);
  try {
    await using agent = await openTestBox({
      mounts: [
        { source: join(directory, "data"), target: "/data", readWrite: false },
        { source: join(directory, "data"), target: "/sandbox/rw", readWrite: true },
      ],
    });
    const { stdout, stderr } = await agent.sh("cat /data/file; echo; echo x > /data/new; echo y > /sandbox/rw/new && cat /data/new");
    expect(stdout).toBe("content\ny\n");
    expect(stderr).toContain("Read-only file system");
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("a policy that does not list a directory of the view gives no access to it", async () => {
  await using agent = await openTestBox({ filesystem: { includeWorkdir: true, readOnly: ["/usr"], readWrite: [] } });
  const { stdout, stderr } = await agent.sh("cat /etc/passwd; ls /proc; echo x > /tmp/x; echo w > /sandbox/w && cat /sandbox/w");
  expect(stdout).toBe("w\n");
  expect(stderr.match(/Permission denied/g)?.length).toBe(3);
});

test("two boxes do not see each other", async () => {
  await using one = await openTestBox();
  await using other = await openTestBox({ sandboxName: "other-box" });
  const child = await one.box.launch({ ...launchOf(["/bin/sleep", "1000"]), stdio: "inherit" });
  await one.sh("echo secret > /tmp/one; echo secret > /dev/shm/one");
  const { stdout } = await other.sh("pgrep -c sleep; ls /tmp /dev/shm /sandbox | grep one; hostname");
  expect(stdout).toBe("0\nother-box\n");
  child.signal(9);
  await child.exited;
});

test("a mount below a read-only directory of the host that has no place for it says so", async () => {
  await expect(openTestBox({ mounts: [{ source: "/usr/bin/env", target: "/usr/openshell-no-place", readWrite: false }] })).rejects.toThrow(
    "shown read-only",
  );
});

test("nothing starts in a box that has ended", async () => {
  const agent = await openTestBox();
  await agent[Symbol.asyncDispose]();
  await expect(agent.sh("true")).rejects.toThrow("has ended");
});
