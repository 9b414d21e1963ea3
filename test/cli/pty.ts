/** Runs a shell script in a network namespace of its own, with a terminal for its commands where `script` gives them one. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BINARY } from "../e2e/installation.ts";

/** Why these tests cannot run here; undefined when they can. */
export function missingForOwnMachine(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  for (const program of ["unshare", "ip", "script"]) if (Bun.which(program) === null) return `${program} is not installed`;
  return undefined;
}

/** A place with nothing in it: no gateway, no configuration, loopback alone. Everything that a script starts ends with it. */
export class OwnMachine implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "openshell-machine-"));

  /** Runs lines of sh; `openshell` is the compiled binary. Ends the gateway and every sandbox behind them. */
  async run(script: string, env: Readonly<Record<string, string>> = {}): Promise<{ code: number; out: string; err: string }> {
    const file = join(this.directory, "script.sh");
    writeFileSync(
      file,
      `ip link set lo up\nopenshell() { "${BINARY}" "$@"; }\n(\n${script}\n)\ncode=$?\nopenshell sandbox delete --all --yes >/dev/null 2>&1\nopenshell gateway stop >/dev/null 2>&1\nexit $code\n`,
    );
    const child = Bun.spawn({
      cmd: ["unshare", "--net", "sh", file],
      cwd: this.directory,
      env: {
        PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        HOME: this.directory,
        XDG_STATE_HOME: join(this.directory, "state"),
        XDG_CONFIG_HOME: join(this.directory, "config"),
        OPENSHELL_SYSTEM_GATEWAY_DIR: join(this.directory, "system"),
        TERM: "xterm",
        BINARY,
        ...env,
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { code, out, err };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
