/** What a person's repositories and registries hold, on the servers of the test internet. */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Inside } from "./inside.ts";

/** A command of the machine that prepares what a server serves. */
function prepare(cmd: readonly string[], cwd: string): void {
  const { exitCode, stderr } = Bun.spawnSync({
    cmd: [...cmd],
    cwd,
    env: { PATH: "/usr/bin:/bin", HOME: cwd, GIT_CONFIG_NOSYSTEM: "1" },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  if (exitCode !== 0) throw new Error(`${cmd.join(" ")}: ${stderr}`);
}

/** Who commits, for `sandbox run`. */
export const GIT_IDENTITY = ["AUTHOR", "COMMITTER"].flatMap((role) => [
  "--env",
  `GIT_${role}_NAME=a`,
  "--env",
  `GIT_${role}_EMAIL=a@example.com`,
]);

/** `https://git.example.com/project.git`, with one commit on `main`: `file` says `one`. */
export function serveRepository(inside: Inside): void {
  for (const name of ["git", "seed"]) mkdirSync(inside.place(name));
  prepare(["git", "init", "-q", "--bare", "-b", "main", "project.git"], inside.place("git"));
  prepare(
    [
      "sh",
      "-c",
      "git init -q -b main && echo one > file && git add file && git -c user.name=a -c user.email=a@b.c commit -qm first && git push -q ../git/project.git main",
    ],
    inside.place("seed"),
  );
}

/** `https://pypi.example.com/simple` with the package demo-wheel: `demo_wheel.answer` is 42. */
export function serveWheel(inside: Pick<Inside, "place">): void {
  const folder = inside.place("pypi/simple/demo-wheel");
  mkdirSync(folder, { recursive: true });
  const wheel = "demo_wheel-1.0-py3-none-any.whl";
  const build = `
import zipfile
with zipfile.ZipFile("${wheel}", "w") as z:
    z.writestr("demo_wheel.py", "answer = 42\\n")
    z.writestr("demo_wheel-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: demo-wheel\\nVersion: 1.0\\n")
    z.writestr("demo_wheel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    z.writestr("demo_wheel-1.0.dist-info/RECORD", "")`;
  prepare(["/usr/bin/python3", "-c", build], folder);
  const sha256 = createHash("sha256")
    .update(readFileSync(join(folder, wheel)))
    .digest("hex");
  writeFileSync(join(folder, "index.html"), `<!DOCTYPE html><a href="${wheel}#sha256=${sha256}">${wheel}</a>`);
}

/** `https://npm.example.com/` with demo-package, which exports 42. */
export function servePackage(inside: Inside): void {
  const files = inside.place("npm/demo-package/-");
  const source = inside.place("npm-source/package");
  mkdirSync(files, { recursive: true });
  mkdirSync(source, { recursive: true });
  const manifest = { name: "demo-package", version: "1.0.0", main: "index.js" };
  writeFileSync(join(source, "package.json"), JSON.stringify(manifest));
  writeFileSync(join(source, "index.js"), "module.exports = 42;\n");
  prepare(["tar", "-czf", join(files, "demo-package-1.0.0.tgz"), "package"], inside.place("npm-source"));
  const tarball = readFileSync(join(files, "demo-package-1.0.0.tgz"));
  const dist = {
    tarball: "https://npm.example.com/demo-package/-/demo-package-1.0.0.tgz",
    integrity: `sha512-${createHash("sha512").update(tarball).digest("base64")}`,
  };
  const document = { name: "demo-package", "dist-tags": { latest: "1.0.0" }, versions: { "1.0.0": { ...manifest, dist } } };
  writeFileSync(inside.place("npm/demo-package.json"), JSON.stringify(document));
}
