/** Starts of confined programs: under a supervisor that runs already beside bubblewrap, and a whole `sandbox run` to the first byte. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BINARY } from "../test/e2e/installation.ts";
import { preparePodman } from "./podman.ts";
import { milliseconds, report, summarise } from "./statistics.ts";

const BUBBLEWRAP = [
  ...[
    "bwrap",
    "--unshare-all",
    "--die-with-parent",
    "--ro-bind",
    "/usr",
    "/usr",
    "--symlink",
    "usr/bin",
    "/bin",
    "--symlink",
    "usr/lib",
    "/lib",
  ],
  ...[
    "--symlink",
    "usr/lib64",
    "/lib64",
    "--proc",
    "/proc",
    "--dev",
    "/dev",
    "--tmpfs",
    "/tmp",
    "--uid",
    "65534",
    "--gid",
    "65534",
    "/bin/true",
  ],
];

/** The launcher as one program, built like the product; the reason when that fails. */
function build(directory: string): string {
  const root = join(import.meta.dir, "..");
  const workers = [...new Bun.Glob("src/**/*.worker.ts").scanSync(root)].sort().map((path) => `./${path}`);
  const outfile = join(directory, "launcher");
  const { exitCode, stderr } = Bun.spawnSync({
    cmd: [
      process.execPath,
      "build",
      "--compile",
      "--minify",
      "--bytecode",
      "--format=esm",
      "--splitting",
      "--root",
      "./src",
      "./bench/launcher.ts",
      ...workers,
      "--outfile",
      outfile,
    ],
    cwd: root,
    stdout: "ignore",
    stderr: "pipe",
  });
  if (exitCode !== 0) throw new Error(`the launcher was not built: ${stderr}`);
  return outfile;
}

export async function benchConfined(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "openshell-bench-"));
  try {
    const launcher = build(directory);
    const { exitCode } = Bun.spawnSync({
      cmd: [launcher, directory],
      cwd: "/",
      env: { PATH: "/usr/bin:/bin" },
      stdin: "ignore",
      stdout: "inherit",
      stderr: "inherit",
    });
    if (exitCode !== 0) report("confined /bin/true under a running supervisor", `failed with ${exitCode}`);
    if (Bun.which("bwrap") === null) report("bubblewrap", "not installed (Debian package bubblewrap)");
    else report("bubblewrap, /bin/true in new namespaces, start to end", milliseconds(summarise(await spawns(BUBBLEWRAP, 60))));
    const podman = preparePodman(directory);
    if (podman === undefined) report("podman run", "not installed (Debian packages podman, runc and conmon)");
    else
      report("podman run --network none, /bin/true, start to end", milliseconds(summarise(await spawns(podman.command, 20, podman.env))));
    const run = [BINARY, "sandbox", "run", "--", "/bin/echo", "first"];
    report("openshell sandbox run -- echo, to its first byte", milliseconds(summarise(await firstBytes(run, 30))));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const OPTIONS = { cwd: "/", env: { PATH: "/usr/bin:/bin" }, stdin: "ignore", stderr: "ignore" } as const;

async function spawns(cmd: readonly string[], times: number, env: Readonly<Record<string, string>> = OPTIONS.env): Promise<number[]> {
  const values: number[] = [];
  for (let i = 0; i <= times; i++) {
    const from = performance.now();
    const code = await Bun.spawn({ cmd: [...cmd], ...OPTIONS, env, stdout: "ignore" }).exited;
    if (code !== 0) throw new Error(`${cmd[0]} ended with ${code}`);
    if (i > 0) values.push(performance.now() - from);
  }
  return values;
}

async function firstBytes(cmd: readonly string[], times: number): Promise<number[]> {
  const values: number[] = [];
  for (let i = 0; i <= times; i++) {
    const from = performance.now();
    const program = Bun.spawn({ cmd: [...cmd], ...OPTIONS, stdout: "pipe" });
    const { done } = await program.stdout.getReader().read();
    if (done) throw new Error("no output");
    if (i > 0) values.push(performance.now() - from);
    await program.exited;
  }
  return values;
}
