/** Installing packages in a sandbox of a gateway, as people do it: into a directory, and in a virtual environment. With the compiled binary. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { serveWheel } from "../clients/served.ts";
import { missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";
import { Installation, missingBinary } from "./installation.ts";

const PYTHON = "/usr/bin/python3";
/** What they need, or why there is none: a Python with pip and the parts of a virtual environment. */
function missingPython(): string | undefined {
  if (!existsSync(PYTHON)) return `${PYTHON} is not installed`;
  const ran = Bun.spawnSync([PYTHON, "-c", "import pip, venv, ensurepip"], { stderr: "pipe" });
  return ran.success ? undefined : `${PYTHON}: ${ran.stderr.toString().trim().split("\n").at(-1)}`;
}
const missing = missingForTestInternet() ?? missingBinary() ?? missingPython();
if (missing !== undefined) console.log(`skipped: package tools through the gateway: ${missing}`);

/** An interpreter that starts several times over, on a machine that does other things too. Milliseconds. */
const TEST_MS = 240_000;

const POLICY = `version: 1
network_policies:
  index:
    endpoints:
      - { host: pypi.example.com, port: 443, protocol: rest, enforcement: enforce, rules: [{ allow: { method: GET, path: "/simple/demo-wheel/**" } }] }
    binaries: [{ path: ${existsSync(PYTHON) ? realpathSync(PYTHON) : PYTHON} }]
`;
const FLAGS = "-q --no-cache-dir --disable-pip-version-check --retries 0 --index-url https://pypi.example.com/simple";

describe.skipIf(missing !== undefined)("package tools through the gateway", () => {
  let net: TestInternet;
  let shell: Installation;
  beforeAll(async () => {
    net = await openTestInternet();
    serveWheel({ place: (path) => join(net.directory, path) });
    shell = new Installation(net);
    await shell.startGateway();
    await shell.create("box", POLICY);
  });
  afterAll(async () => {
    await shell?.[Symbol.asyncDispose]();
    await net?.[Symbol.asyncDispose]();
  });

  const run = (script: string) => shell.exec("box", "/bin/sh", "-ec", script);

  test(
    "case-92 pip installs what the policy allows, into a directory and in a virtual environment",
    async () => {
      const target = await run(
        `${PYTHON} -m pip install ${FLAGS} --target lib demo-wheel; PYTHONPATH=lib ${PYTHON} -c 'import demo_wheel; print(demo_wheel.answer)'`,
      );
      expect(target).toMatchObject({ exitCode: 0, stdout: "42\n" });
      const environment = await run(
        `${PYTHON} -m venv .venv; .venv/bin/pip install ${FLAGS} demo-wheel; .venv/bin/pip install ${FLAGS} --force-reinstall demo-wheel`,
      );
      expect([environment.exitCode, environment.stderr]).toEqual([0, ""]);
      const used = await run(
        ". .venv/bin/activate; command -v python; python -c 'import demo_wheel; print(demo_wheel.answer)'; pip uninstall -q -y demo-wheel",
      );
      expect(used).toMatchObject({ exitCode: 0, stdout: "/sandbox/.venv/bin/python\n42\n" });
    },
    TEST_MS,
  );

  test(
    "case-92 another package of the same index is refused, and no server hears of it",
    async () => {
      const since = (await net.seenWhenQuiet()).requests.length;
      const refused = await run(`${PYTHON} -m pip install ${FLAGS} --target other other-wheel`);
      expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining("No matching distribution")]);
      expect((await net.seenWhenQuiet()).requests.slice(since)).toEqual([]);
    },
    TEST_MS,
  );
});
