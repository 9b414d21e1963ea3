import { resolve } from "node:path";
import { OpenShellError } from "./error.ts";

export interface Mount {
  readonly source: string;
  readonly target: string;
  readonly readWrite: boolean;
}

/** `SRC[:DST][:ro|rw]`, read-only unless said otherwise; SRC is relative to the current directory, DST defaults to SRC. */
export function parseMount(flag: string): Mount {
  const parts = flag.split(":");
  const mode = parts.length > 1 && /^(ro|rw)$/.test(parts.at(-1) ?? "") ? parts.pop() : "ro";
  const [source, target = source] = parts;
  if (!source || !target || parts.length > 2) {
    throw new OpenShellError("invalid_argument", `--mount '${flag}' is not SRC[:DST][:ro|rw]`, {
      next: "example: --mount .:/sandbox/project:rw",
    });
  }
  const absolute = resolve(source);
  const inside = target === source ? absolute : target;
  if (!inside.startsWith("/"))
    throw new OpenShellError("invalid_argument", `--mount '${flag}': ${inside} is not an absolute path`, {
      next: "the form is SRC[:DST][:ro|rw], DST inside the sandbox",
    });
  return { source: absolute, target: inside, readWrite: mode === "rw" };
}
