/** git, pip and npm against servers of their own kind. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Inside, installed, missingFor, pathOf } from "./inside.ts";
import { GIT_IDENTITY, servePackage, serveRepository, serveWheel } from "./served.ts";

const git = installed("git", "/usr/bin/git");
const gitHttp = installed("git's HTTP transport", "/usr/lib/git-core/git-remote-https", "/usr/libexec/git-core/git-remote-https");
const gitServer = installed("git's HTTP server", "/usr/lib/git-core/git-http-backend", "/usr/libexec/git-core/git-http-backend");
const python = installed("Python", "/usr/bin/python3");
const pip = installed("pip", "/usr/lib/python3/dist-packages/pip/__init__.py", "/usr/bin/pip3");
const node = installed("Node.js", "/usr/bin/node");
const npm = installed("npm", "/usr/lib/node_modules/npm/bin/npm-cli.js", "/usr/share/nodejs/npm/bin/npm-cli.js");

const noGit = missingFor("git", git, gitHttp, gitServer);
describe.skipIf(noGit !== undefined)("git over smart HTTP", () => {
  let inside: Inside;
  beforeAll(async () => {
    inside = await Inside.open(
      // A rule of a person: it covers git's own helper, which makes the connection.
      [{ binaries: [pathOf(git)], endpoints: ["git.example.com:443"] }],
      GIT_IDENTITY,
    );
    serveRepository(inside);
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());

  const URL = "https://git.example.com/project.git";

  test("clone, push and fetch of an allowed host", async () => {
    const { exitCode, stdout, stderr } = await inside.script(
      `git clone -q ${URL} work; cd work; cat file; echo two > file; git commit -qam second; git push -q origin main
       git -C /sandbox clone -q ${URL} again; cat /sandbox/again/file; git fetch -q; git log --oneline origin/main | wc -l`,
    );
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr });
    expect(stdout.split(/\s+/).filter(Boolean)).toEqual(["one", "two", "2"]);
    expect(stderr).toMatch(/ ALLOWED .*git-remote-http/);
  });

  test("another host is refused, and so is the transport without git above it", async () => {
    const { stderr } = await inside.refused(["git", "clone", "-q", "https://other.example.com/project.git"]);
    expect(stderr).toContain("403");
    await inside.refused([
      "/bin/sh",
      "-c",
      `echo capabilities | ${pathOf(gitHttp)} origin ${URL}; echo list | exec ${pathOf(gitHttp)} origin ${URL}`,
    ]);
  });
});

const noPip = missingFor("pip", python, pip);
describe.skipIf(noPip !== undefined)("pip", () => {
  let inside: Inside;
  const install = (...words: string[]) => [
    "/usr/bin/python3",
    "-m",
    "pip",
    "install",
    "-q",
    "--no-cache-dir",
    "--disable-pip-version-check",
    "--retries",
    "0",
    "--target",
    "/sandbox/lib",
    ...words,
  ];

  beforeAll(async () => {
    inside = await Inside.open([{ binaries: [pathOf(python)], endpoints: ["pypi.example.com:443"] }]);
    serveWheel(inside);
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());

  test("case-92 installs from an allowed index", async () => {
    const words = install("--index-url", "https://pypi.example.com/simple", "demo-wheel");
    const { exitCode, stdout, stderr } = await inside.script(
      `${words.join(" ")}; PYTHONPATH=/sandbox/lib /usr/bin/python3 -c 'import demo_wheel; print(demo_wheel.answer)'`,
    );
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr });
    expect(stdout).toBe("42\n");
  });

  test("another index is refused", async () => {
    await inside.refused(install("--index-url", "https://other.example.com/simple", "demo-wheel"));
  });
});

const noNpm = missingFor("npm", node, npm);
describe.skipIf(noNpm !== undefined)("npm", () => {
  let inside: Inside;
  const install = (registry: string) =>
    `mkdir -p app; cd app; ${pathOf(node)} ${pathOf(npm)} install --no-audit --no-fund --no-update-notifier --fetch-retries 0 --loglevel error --registry ${registry} demo-package`;

  beforeAll(async () => {
    inside = await Inside.open([{ binaries: [pathOf(node)], endpoints: ["npm.example.com:443"] }]);
    servePackage(inside);
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());

  test("installs from an allowed registry", async () => {
    const { exitCode, stdout, stderr } = await inside.script(
      `${install("https://npm.example.com/")} >&2; ${pathOf(node)} -p 'require("demo-package")'`,
    );
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr });
    expect(stdout).toBe("42\n");
  });

  test("another registry is refused", async () => {
    await inside.refused(["/bin/sh", "-ec", install("https://other.example.com/")]);
  });
});
