import { constants } from "node:os";
import { type ErrorCode, OpenShellError } from "../error.ts";

const names = new Map<number, string>(Object.entries(constants.errno).map(([name, value]) => [value, name]));

const codes: Readonly<Record<string, ErrorCode>> = {
  EPERM: "permission_denied",
  EACCES: "permission_denied",
  ENOENT: "not_found",
  EEXIST: "already_exists",
  EADDRINUSE: "already_exists",
  EMFILE: "resource_exhausted",
  ENFILE: "resource_exhausted",
  ENOMEM: "resource_exhausted",
  ENOSPC: "resource_exhausted",
  EINVAL: "failed_precondition",
  ENOSYS: "failed_precondition",
  EAFNOSUPPORT: "failed_precondition",
  EOPNOTSUPP: "failed_precondition",
};

const remedies: Readonly<Record<string, string>> = {
  EPERM: "run as root with CAP_SYS_ADMIN and CAP_NET_ADMIN; inside a container these must be granted",
  ENOSYS: "use a kernel of version 5.19 or newer",
  EINVAL: "use a kernel of version 5.19 or newer",
  EMFILE: "raise the limit of open files (ulimit -n)",
  ENFILE: "raise fs.file-max",
  ENOMEM: "free memory on this machine",
};

/** `ENOENT` for 2; `errno 999` for a number without a name. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `errno ${errno}`;
}

/** A system call that failed: which one, on what, and what a person can do about it. */
export class KernelError extends OpenShellError {
  readonly errno: number;
  readonly call: string;

  /** `detail` says on what (a path, an interface); `next` replaces the remedy that follows from the error number. */
  constructor(call: string, errno: number, detail = "", next?: string) {
    const name = errnoName(errno);
    const remedy = next ?? remedies[name];
    super(codes[name] ?? "internal", `${call}${detail ? ` ${detail}` : ""}: ${name}`, remedy === undefined ? {} : { next: remedy });
    this.name = "KernelError";
    this.errno = errno;
    this.call = call;
  }
}
