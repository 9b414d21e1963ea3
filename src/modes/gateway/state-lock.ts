import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { OpenShellError } from "../../error.ts";
import { tryLock } from "../../linux/file-lock.ts";

/** Makes this process the one gateway of a state directory (decision 7); the kernel ends the claim with the process. */
export function lockState(directory: string): Disposable {
  const file = join(directory, "gateway/gateway.lock");
  const fd = openSync(file, "a+", 0o600);
  if (!tryLock(fd)) {
    const pid = readFileSync(file, "utf8").trim();
    closeSync(fd);
    throw new OpenShellError("failed_precondition", `a gateway (pid ${pid || "unknown"}) already runs on ${directory}`, {
      next: "stop it, or give --state-dir another directory",
    });
  }
  ftruncateSync(fd, 0);
  writeSync(fd, `${process.pid}\n`);
  return { [Symbol.dispose]: () => closeSync(fd) };
}
