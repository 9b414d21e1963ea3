/** A container engine as a peer for starts: `podman run` of a root file system that holds few programs, without network and without images. */
import { cpSync, mkdirSync, realpathSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The command line and environment of one run; undefined when there is no podman. */
export interface PodmanRun {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Everything of the engine stays below `directory`. `programs`: what the root file system holds; `command`: what is run in it. */
export function preparePodman(
  directory: string,
  programs: readonly string[] = ["/bin/true"],
  command: readonly string[] = programs,
): PodmanRun | undefined {
  if (Bun.which("podman") === null) return undefined;
  const root = join(directory, "rootfs");
  for (const name of ["proc", "sys", "dev", "etc", "tmp", "run"]) mkdirSync(join(root, name), { recursive: true });
  for (const file of new Set(programs.flatMap((program) => [program, ...librariesOf(program)]))) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    cpSync(realpathSync(file), join(root, file));
  }
  // Limits above the machine's own cannot be set everywhere, and one runtime knows every layout of cgroups.
  const containers = join(directory, "containers.conf");
  const engine = '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n';
  writeFileSync(containers, `[containers]\ndefault_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]\n${engine}`);
  const storage = join(directory, "storage.conf");
  writeFileSync(storage, `[storage]\ndriver = "vfs"\ngraphroot = "${join(directory, "graph")}"\nrunroot = "${join(directory, "run")}"\n`);
  return {
    command: ["podman", "run", "--rm", "--network", "none", "--rootfs", root, ...command],
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: directory, CONTAINERS_CONF: containers, CONTAINERS_STORAGE_CONF: storage },
  };
}

/** Absolute paths that the dynamic loader lists. */
function librariesOf(program: string): string[] {
  const { stdout } = Bun.spawnSync({ cmd: ["ldd", program] });
  return [...stdout.toString().matchAll(/(\/\S+) \(0x/g)].flatMap(([, path]) => (path === undefined ? [] : [path]));
}
