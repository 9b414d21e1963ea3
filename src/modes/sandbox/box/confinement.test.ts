import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, unlinkSync, writeFileSync } from "node:fs";
import { duplicate } from "../../../linux/descriptors.ts";
import { parentOf } from "../../../linux/process-facts.ts";
import { AGENT_UID, agentProcesses, launchOf, openTestBox, type TestBox } from "./box-fixture.ts";

/** What a program in the box can and cannot do, told by the program itself. */
let agent: TestBox;
beforeAll(async () => {
  agent = await openTestBox();
});
afterAll(() => agent[Symbol.asyncDispose]());

const perl = async (script: string) => (await agent.run(["/usr/bin/perl", "-MSocket", "-MErrno", "-e", script])).stdout.trim();
/** Name of the error that a system call by number fails with, or `ok`. */
const call = (number: number, ...args: (number | string)[]) =>
  perl(`my $r = syscall(${[number, ...args].join(", ")}); my @n = grep { $!{$_} } keys %!; print $r == -1 ? $n[0] : "ok"`);
const onX64 = process.arch === "x64" ? test : test.skip;

describe("user", () => {
  test("the agent is its own user, without groups, and stays it", async () => {
    expect((await agent.sh("id -u; id -g; id -G; id -un; echo $HOME; pwd")).stdout).toBe(
      `${AGENT_UID}\n${AGENT_UID}\n${AGENT_UID}\nsandbox\n/sandbox\n/sandbox\n`,
    );
    expect(await perl(`$> = 0; $< = 0; print "$< $>"`)).toBe(`${AGENT_UID} ${AGENT_UID}`);
  });

  test("no capability and no new privileges, signals and limits as a program expects them", async () => {
    const { stdout } = await agent.sh("cat /proc/self/status; cat /proc/self/limits");
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) expect(stdout).toContain(`${set}:\t0000000000000000`);
    expect(stdout).toContain("NoNewPrivs:\t1");
    expect(stdout).toContain("Seccomp:\t2");
    expect(stdout).toContain("SigIgn:\t0000000000000000");
    expect(stdout).toContain("SigBlk:\t0000000000000000");
    expect(stdout).toMatch(/Max open files\s+4096\s+4096/);
    expect(stdout).toMatch(/Max processes\s+1024\s+1024/);
    expect(stdout).toMatch(/Max core file size\s+0\s+0/);
  });

  test("a set-user-id program gains nothing", async () => {
    expect((await agent.sh("su -c id root </dev/null; sudo -n id")).stdout).not.toContain("uid=0");
  });

  test("no descriptor of ours is open", async () => {
    expect((await agent.sh("ls /proc/self/fd | wc -l")).stdout.trim()).toBe("4");
  });
});

describe("files", () => {
  test("the workspace and /tmp are writable, the system is not", async () => {
    const { stdout } = await agent.sh(`
      echo a > /sandbox/a && cat /sandbox/a; echo b > /tmp/b && cat /tmp/b; echo c > /dev/null && echo null
      for path in /usr/x /etc/x /x /var/log/x /proc/x /opt/x /dev/x; do (echo x > $path) 2>/dev/null && echo wrote $path; done
      echo done`);
    expect(stdout).toBe("a\nb\nnull\ndone\n");
    expect(readdirSync(agent.spec.workspace)).toContain("a");
  });

  test("the rest of the host does not exist", async () => {
    const paths = [
      "/home",
      "/root",
      "/srv",
      "/mnt",
      "/sys",
      "/var/lib",
      "/run/docker.sock",
      "/run/systemd",
      "/etc/shadow",
      "/etc/ssh",
      "/boot",
    ];
    const { stdout } = await agent.sh(`for path in ${paths.join(" ")}; do ls -d $path 2>&1; done`);
    for (const path of paths) expect(stdout).toContain(`'${path}': No such file or directory`);
  });

  test("/tmp is not the host's", async () => {
    const path = `/tmp/openshell-outside-${process.pid}`;
    writeFileSync(path, "secret");
    try {
      expect((await agent.sh(`cat ${path}`)).stderr).toContain("No such file");
      await agent.sh("echo > /tmp/openshell-inside");
      expect(readdirSync("/tmp")).not.toContain("openshell-inside");
    } finally {
      unlinkSync(path);
    }
  });

  test("accounts and names are the box's", async () => {
    const { stdout } = await agent.sh("cat /etc/passwd /etc/resolv.conf; hostname; cat /proc/sys/kernel/hostname");
    expect(stdout).toContain(`sandbox:x:${AGENT_UID}`);
    expect(stdout).toContain("nameserver 10.200.0.1");
    expect(stdout.split("test-box").length - 1).toBe(2);
    expect(stdout.split("\n").filter((line) => line.includes(":x:")).length).toBe(3);
  });

  test("only the small devices exist", async () => {
    expect((await agent.sh("ls /dev")).stdout.trim().split("\n")).toEqual([
      "fd",
      "full",
      "null",
      "ptmx",
      "pts",
      "random",
      "shm",
      "stderr",
      "stdin",
      "stdout",
      "tty",
      "urandom",
      "zero",
    ]);
    expect((await agent.sh("echo again > /dev/stdout")).stdout).toBe("again\n");
  });

  test("renaming between directories of the workspace works, as package managers need it", async () => {
    expect((await agent.sh("mkdir -p a1 b1 && echo x > a1/f && mv a1/f b1/f && ln b1/f a1/g && cat a1/g")).stdout).toBe("x\n");
  });
});

describe("processes", () => {
  test("/proc shows the box's own processes and not our init", async () => {
    const pids = (await agent.sh("ls /proc | grep '^[0-9]'")).stdout.trim().split("\n").map(Number);
    expect(pids.length).toBeLessThanOrEqual(5);
    expect((await agent.sh("ls -a /proc/1; cat /proc/1/mountinfo /proc/1/environ")).stdout).toBe(".\n..\n");
  });

  test("threat-17: our init cannot be signalled", async () => {
    const { stdout } = await agent.sh("kill -9 1 && echo killed; kill -9 -1; echo alive");
    expect(stdout).not.toContain("killed");
    expect((await agent.sh("echo still here")).stdout).toBe("still here\n");
  });

  test("orphans are collected", async () => {
    await agent.sh("for i in 1 2 3 4 5; do (sh -c 'sleep 0.01 & exec true' &); done; sleep 0.1");
    const child = await agent.box.launch(launchOf(["/bin/sleep", "1000"]));
    const init = parentOf(child.pid);
    while (agentProcesses().some(({ state, parent }) => state === "Z" && parent === init)) await Bun.sleep(1);
    child.signal(9);
    await child.exited;
  });
});

describe("kernel surface", () => {
  onX64("threat-05, threat-06: other processes, mounts, namespaces and large kernel surfaces are refused", async () => {
    const refused: Record<string, number> = {
      ...{ ptrace: 101, process_vm_readv: 310, process_vm_writev: 311, pidfd_getfd: 438, kcmp: 312, userfaultfd: 323 },
      ...{ mount: 165, umount2: 166, pivot_root: 155, setns: 308, fsopen: 430, open_tree: 428, move_mount: 429 },
      ...{ bpf: 321, keyctl: 250, io_uring_setup: 425, perf_event_open: 298, memfd_create: 319 },
    };
    for (const [name, number] of Object.entries(refused)) expect([name, await call(number, 0, 0, 0, 0, 0, 0)]).toEqual([name, "EPERM"]);
    expect(await call(157, 35, 1, 0, 0, 0)).toBe("EPERM");
    expect(await call(272, 0x10000000)).toBe("EPERM");
    expect(await call(56, 0x10000011, 0, 0, 0, 0)).toBe("EPERM");
    expect(await call(435, 0, 0)).toBe("ENOSYS");
    expect(await call(16, 0, 0x5412, 0)).toBe("EPERM");
    expect(await call(317, 1, 0, 0)).toBe("EPERM");
  });

  test("threat-31: sockets outside the allow-list do not exist", async () => {
    const socket = (family: number, type: number, protocol: number) =>
      perl(`socket(my $s, ${family}, ${type}, ${protocol}) ? print "ok" : print +(grep { $!{$_} } keys %!)[0]`);
    expect(await socket(1, 1, 0)).toBe("ok");
    expect(await socket(2, 1, 0)).toBe("ok");
    expect(await socket(10, 2, 0)).toBe("ok");
    expect(await socket(16, 3, 0)).toBe("ok");
    expect(await socket(16, 3, 16)).toBe("EAFNOSUPPORT");
    expect(await socket(17, 3, 0)).toBe("EAFNOSUPPORT");
    expect(await socket(40, 1, 0)).toBe("EAFNOSUPPORT");
    expect(await socket(2, 3, 1)).toBe("EPERM");
  });

  test("forks, threads and shells work", async () => {
    expect((await agent.sh("echo $(echo a | tr a b) | cat; (exit 3); echo $?")).stdout).toBe("b\n3\n");
  });
});

describe("network", () => {
  test("threat-08: a Unix socket outside the view does not exist", async () => {
    const path = `/tmp/openshell-outside-${process.pid}.sock`;
    using server = Bun.listen({
      unix: path,
      socket: {
        data() {},
        open(socket) {
          socket.end("reached");
        },
      },
    });
    const answer = await perl(`socket(my $s, 1, 1, 0); connect($s, pack_sockaddr_un("${path}")) ? print "ok" : print "$!"`);
    expect(answer).toBe("No such file or directory");
    expect(server).toBeDefined();
    unlinkSync(path);
  });

  test("an abstract Unix socket outside is out of reach", async () => {
    const name = `openshell-outside-${process.pid}`;
    using server = Bun.listen({
      unix: `\0${name}`,
      socket: {
        data() {},
        open(socket) {
          socket.end("reached");
        },
      },
    });
    const answer = await perl(`socket(my $s, 1, 1, 0); connect($s, pack_sockaddr_un("\\0${name}")) ? print "ok" : print "$!"`);
    expect(answer).toBe("Connection refused");
    expect(server).toBeDefined();
  });

  test("every connection out ends at one of our listeners", async () => {
    for (const fd of agent.box.listeners.captured)
      Bun.listen({
        fd: duplicate(fd),
        socket: { open: (socket: Bun.Socket) => socket.terminate(), data() {} },
      } as unknown as Parameters<typeof Bun.listen>[0]);
    const attempt = (address: string) =>
      perl(
        `socket(my $s, 2, 1, 0); connect($s, pack_sockaddr_in(80, inet_aton("${address}"))) && defined sysread($s, my $b, 1) ? print "ok" : print "$!"`,
      );
    for (const address of ["93.184.216.34", "169.254.169.254", "10.200.0.1"])
      expect(await attempt(address)).toBe("Connection reset by peer");
    expect(await attempt("127.0.0.1")).toBe("Connection refused"); // its own loopback
  });
});
