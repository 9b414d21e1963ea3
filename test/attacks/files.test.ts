/** Files as a confined program finds them, and files of the host that a program tries to make the supervisor read, follow or change. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { HostProgram } from "../internet/open.ts";
import { Arena, missingForAttacks, type Outcome, PERL, readProbes, rule, THROUGH_GATEWAY } from "./arena.ts";

const missing = missingForAttacks();
if (missing !== undefined) console.log(`skipped: attacks on files: ${missing}`);

describe.skipIf(missing !== undefined)("files", () => {
  let arena: Arena;
  /** Not below /tmp, which always means the view's own; writable for everybody. */
  let shared: string;
  const mark = `openshell-attack-${process.pid}`;

  beforeAll(async () => {
    arena = await Arena.open({ "nowhere.example.com": ["93.184.216.40"] });
    shared = mkdtempSync("/var/tmp/openshell-attack-");
    chmodSync(shared, 0o777);
  });
  afterAll(async () => {
    rmSync(shared, { recursive: true, force: true });
    await arena?.[Symbol.asyncDispose]();
  });

  function open(name: string): string {
    const path = join(shared, name);
    mkdirSync(path);
    chmodSync(path, 0o777);
    return path;
  }

  describe("from inside", () => {
    let probes: Outcome["probes"];
    const outside = ["/etc/shadow", "/root/.bashrc", "/home", "/var/lib/dpkg/status", "/proc/1/root/etc/shadow", "/sys/kernel/notes"];
    let own: string;

    beforeAll(async () => {
      own = join(shared, "for-everybody");
      writeFileSync(own, "secret", { mode: 0o666 });
      const socket = await arena.net.spawnOnHost([PERL, join(import.meta.dir, "programs/sockets.pl"), `@${mark}`]);
      await socket.waitForOutput(/up/);
      const log = join(arena.net.directory, "output");
      writeFileSync(log, "what was there before\n", { mode: 0o644 });
      const argv = arena.commandLine([PERL, "/attacks/files.pl"], { env: { OUTSIDE: [own, ...outside].join(","), HOST_MARK: mark } });
      const { exitCode, stderr } = await arena.net.runOnHost(["/bin/sh", "-c", 'log=$1; shift; exec "$@" >> "$log"', "sh", log, ...argv]);
      if (exitCode !== 0) throw new Error(`exit ${exitCode}: ${readFileSync(log, "utf8")}${stderr}`);
      probes = readProbes(readFileSync(log, "utf8"));
    });

    const expectAll = (pattern: RegExp | string, ...names: string[]) => {
      for (const name of names) expect(`${name}: ${probes[name]}`).toMatch(typeof pattern === "string" ? `${name}: ${pattern}` : pattern);
    };

    test("case-89: the system cannot be written, the workspace and /tmp can", () => {
      const system = ["/usr/attack", "/usr/bin/attack", "/etc/attack", "/attack", "/opt/attack", "/proc/attack", "/dev/attack"];
      expectAll(/: (EACCES|EROFS|ENOENT)$/, ...system.map((path) => `write ${path}`));
      expectAll(
        /: (EACCES|EROFS)$/,
        "write through a link in the workspace",
        "write through /proc/self/root",
        "remove a program",
        "rename a program",
      );
      expectAll("ok", "write /sandbox/attack", "write /tmp/attack");
    });

    test("case-89: what is not listed does not exist, whoever owns it", () => {
      expectAll("ENOENT", `read ${own}`, ...outside.map((path) => `read ${path}`), "read through a link", "read above the root");
      expectAll("no", ...["/sys", "/run/docker.sock", "/home", "/root", "/boot"].map((path) => `exists ${path}`));
      expectAll("no", ...["mem", "kmsg", "fuse", "vda", "net/tun"].map((name) => `exists /dev/${name}`));
    });

    test("/proc/1 is empty, and the threads of our init cannot be reached by guessing their numbers", () => {
      expectAll(/: ENOENT$/, ...Object.keys(probes).filter((name) => name.startsWith("/proc/1/")));
      expect(probes["processes of root"]).toBe("0");
      expect(probes["sockets of the host"]).toBe("0");
    });

    test("the kernel's switches and secrets in /proc are out of reach", () => {
      const switches = ["sys/kernel/core_pattern", "sys/net/ipv4/ip_forward", "sysrq-trigger", "self/uid_map"];
      expectAll(/: (EACCES|EROFS|EPERM|ENOENT)$/, ...switches.map((name) => `write /proc/${name}`));
      expectAll(/: (empty|EACCES|EPERM|ENOENT)$/, "read /proc/kcore", "read /proc/keys", "read /proc/kmsg");
      expect(probes["/proc/kallsyms"]).toBe("no addresses");
    });

    test("no descriptor of ours is left, shared memory runs no program, and standard output cannot be read back", () => {
      expect(probes["descriptors"]).toBe("");
      expect(probes["run from shared memory"]).toBe("refused");
      // Through a gateway it is a pipe of the box's own, and no file of the host's.
      expect(probes["reopen standard output"]).toBe(THROUGH_GATEWAY ? "ok" : "EACCES");
    });

    test("case-92: files move between directories, as package managers need it", () => {
      expectAll("ok", "rename between directories", "link between directories", "lists of packages");
    });
  });

  const policyWith = (filesystem: string, landlock = "best_effort") =>
    `version: 1\nfilesystem_policy:\n  include_workdir: true\n${filesystem}landlock: { compatibility: ${landlock} }\nnetwork_policies:\n${rule("own", "api.example.com", 80, [PERL])}`;

  test("case-90, case-91: a missing path is left out by best_effort and refused by hard_requirement; no section at all starts", async () => {
    const missingPath = "  read_only: [/usr, /proc, /no/such/path]\n";
    const best = await arena.runCommand(["/bin/echo", "ran"], { policy: policyWith(missingPath) });
    expect(best).toMatchObject({ exitCode: 0, stdout: "ran\n" });
    expect(best.stderr).toContain("/no/such/path");
    const hard = await arena.runCommand(["/bin/echo", "ran"], { policy: policyWith(missingPath, "hard_requirement") });
    expect(hard).toMatchObject({ exitCode: 1, stdout: "" });
    expect(hard.stderr).toContain("/no/such/path");
    expect(await arena.runCommand(["/bin/echo", "ran"])).toMatchObject({ exitCode: 0, stdout: "ran\n" });
  });

  test("case-96: a read_write path that is a symbolic link is refused", async () => {
    const link = join(shared, "link");
    symlinkSync("/etc", link);
    const { exitCode, stderr } = await arena.runCommand(["/bin/true"], {
      policy: policyWith(`  read_only: [/usr]\n  read_write: [${link}]\n`),
    });
    expect(exitCode).toBe(1);
    expect(stderr).toContain("symbolic link");
  });

  test("threat-21: a read_write path that the program turned into a link is refused, and its target unchanged", async () => {
    const tree = open("tree");
    mkdirSync(join(tree, "sub"), { mode: 0o777 });
    chmodSync(join(tree, "sub"), 0o777);
    const target = open("target");
    chmodSync(target, 0o700);
    const policy = policyWith(`  read_only: [/usr, /proc]\n  read_write: [/tmp, ${tree}, ${join(tree, "sub")}]\n`);
    const replaced = await arena.net.runOnHost(arena.commandLine([PERL, "/attacks/steps.pl"], { policy }), {
      stdin: `write\tcontrol\t${tree}/sub/file\tx\nreplace\tbusy\t${tree}/sub\t${target}\n`,
    });
    expect(readProbes(replaced.stdout)["control"]).toBe("ok");
    // A mount point cannot be removed; the parent alone gives the program what it needs.
    const narrower = policyWith(`  read_only: [/usr, /proc]\n  read_write: [/tmp, ${tree}]\n`);
    const again = await arena.net.runOnHost(arena.commandLine([PERL, "/attacks/steps.pl"], { policy: narrower }), {
      stdin: `replace\treplaced\t${tree}/sub\t${target}\n`,
    });
    expect(readProbes(again.stdout)["replaced"]).toBe("ok");
    expect(lstatSync(join(tree, "sub")).isSymbolicLink()).toBe(true);

    const before = statSync(target);
    const refused = await arena.runCommand(["/bin/true"], { policy });
    expect(refused).toMatchObject({ exitCode: 1 });
    expect(refused.stderr).toContain("symbolic link");
    expect(statSync(target)).toMatchObject({ mode: before.mode, uid: before.uid, ctimeMs: before.ctimeMs });
  });

  test("threat-21: a pipe where a policy path was does not stop the start", async () => {
    const tree = open("pipes");
    Bun.spawnSync(["mkfifo", "-m", "666", join(tree, "sub")]);
    const policy = policyWith(`  read_only: [/usr, ${join(tree, "sub")}]\n  read_write: [${tree}]\n`);
    expect(await arena.runCommand(["/bin/echo", "ran"], { policy })).toMatchObject({ exitCode: 0, stdout: "ran\n" });
  });

  describe("threat-03: a policy that the program may write", () => {
    const open403 = "403 host_not_allowed";
    const wide = `version: 1\\nnetwork_policies:\\n  wide:\\n    endpoints: [{ host: nowhere.example.com, port: 80 }]\\n    binaries: [{ path: ${PERL} }]\\n`;

    /** Starts a program that waits for steps, with `file` as its policy and the directory `mounted` writable at /work. */
    async function start(file: string, mounted: string): Promise<HostProgram> {
      const argv = arena.commandLine([PERL, "/attacks/steps.pl"], { mounts: [`${mounted}:/work:rw`] });
      const named = argv.map((word, index) => (argv[index - 1] === "--policy" ? file : word));
      const program = await arena.net.spawnOnHost(named);
      await program.waitForOutput(/"started"/);
      return program;
    }
    const narrow = `version: 1\nnetwork_policies:\n${rule("own", "api.example.com", 80, [PERL])}`;
    const step = async (program: HostProgram, name: string, line: string) => {
      await program.write(`${line}\n`);
      await program.waitForOutput(new RegExp(`"probe":"${name}"`));
      return readProbes(program.stdout)[name];
    };

    test("in a writable directory it is never read again, and the start says so", async () => {
      const folder = open("policy-inside");
      const file = join(folder, "policy.yaml");
      writeFileSync(file, narrow, { mode: 0o666 });
      chmodSync(file, 0o666);
      const program = await start(file, folder);
      expect(program.stderr).toContain("it is not watched");
      expect(await step(program, "edit", `write\tedit\t/work/policy.yaml\t${wide}`)).toBe("ok");
      expect(readFileSync(file, "utf8")).toContain("nowhere.example.com");
      // Told to read it again (see the control below), the supervisor does not: the signal is the program's.
      expect(await step(program, "asked", "ask\tasked\tnowhere.example.com")).toBe(open403);
      await program.kill("SIGHUP");
      await program.closeInput();
      await program.exited;
      expect(program.stderr).not.toContain("policy reloaded");
    });

    test("nor through a link that leads there", async () => {
      const folder = open("policy-linked");
      writeFileSync(join(folder, "policy.yaml"), narrow);
      chmodSync(join(folder, "policy.yaml"), 0o666);
      const link = join(arena.net.directory, "linked.yaml");
      symlinkSync(join(folder, "policy.yaml"), link);
      const program = await start(link, folder);
      expect(program.stderr).toContain("it is not watched");
      await program.closeInput();
      await program.exited;
    });

    test("the control: outside it is read again", async () => {
      const folder = open("policy-outside");
      const file = join(arena.net.directory, "outside.yaml");
      writeFileSync(file, narrow);
      const program = await start(file, folder);
      expect(await step(program, "before", "ask\tbefore\tnowhere.example.com")).toBe(open403);
      writeFileSync(file, wide.replaceAll("\\n", "\n"));
      await program.kill("SIGHUP");
      await program.waitForOutput(/policy reloaded/);
      expect(await step(program, "after", "ask\tafter\tnowhere.example.com")).toBe("200");
      await program.closeInput();
      await program.exited;
    });
  });

  test("nothing of the attacks is left on the host", () => {
    for (const path of ["/usr/attack", "/usr/bin/attack", "/etc/attack", "/attack", "/tmp/attack"]) expect(existsSync(path)).toBe(false);
    expect(existsSync("/usr/bin/env")).toBe(true);
  });
});
