import { O_PATH } from "../descriptors.ts";
import { check, cString, syscall } from "../libc.ts";
import type { LauncherImage } from "./image.ts";

const F_SETFD = 2;
const FD_CLOEXEC = 1;

/** A descriptor of the image that this process runs; a launcher that inherits it can start the same image. Not close-on-exec. */
export function openOwnImage(): number {
  const AT_FDCWD = -100;
  return check(syscall("openat", AT_FDCWD, cString("/proc/self/exe"), O_PATH, 0), "open", "own image");
}

/**
 * Adds the exec of the image behind a descriptor of the launcher. A launcher cannot name it by path: `/proc/self/exe` is the launcher, and
 * the file's own path may have been taken by another.
 */
export function execOwnImage(
  image: LauncherImage,
  program: {
    readonly fd: number;
    readonly argv: readonly string[];
    readonly environment: Readonly<Record<string, string>>;
    readonly failure: string;
  },
): void {
  const { fd, argv, failure } = program;
  const environment = Object.entries(program.environment).map(([name, value]) => `${name}=${value}`);
  image.call("fcntl", [fd, F_SETFD, FD_CLOEXEC]);
  image.call("execve", [`/proc/self/fd/${fd}`, argv, environment], { failure });
}
