/**
 * Files and variables that steer Bun must not steer the compiled binary: whoever controls a working directory or an environment must not
 * run code as us. `BUN_OPTIONS` may stop the program; nothing else may even change its output.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BINARY, missingBinary } from "./installation.ts";

const missing = missingBinary();
if (missing !== undefined) console.log(`skipped: planted files: ${missing}`);

describe.skipIf(missing !== undefined)("planted in the working directory or the environment", () => {
  let folder: string;
  let proof: string;
  let evil: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "openshell-planted-"));
    proof = join(folder, "proof");
    evil = join(folder, "evil.ts");
    writeFileSync(evil, `require("node:fs").writeFileSync(${JSON.stringify(proof)}, "ran"); console.log("EVIL");`);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const invocations = [
    ["--version"],
    ["--help"],
    ["sandbox", "create", "--help"],
    ["no-such-command"],
    ["policy", "validate", "/nonexistent.yaml"],
  ];

  interface Result {
    exitCode: number;
    stdout: string;
    stderr: string;
  }

  function run(argv: string[], cwd: string, env: Record<string, string> = {}): Result {
    const { exitCode, stdout, stderr } = Bun.spawnSync({
      cmd: [BINARY, ...argv],
      cwd,
      env: { PATH: "/usr/bin:/bin", HOME: cwd, NO_COLOR: "1", ...env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
  }

  /** Runs every invocation in a clean and in the planted directory. */
  function expectUnchanged(name: string, files: Record<string, string>, env: Record<string, string> = {}): void {
    const [clean, planted] = [join(folder, `${name}-clean`), join(folder, `${name}-planted`)];
    for (const directory of [clean, planted]) mkdirSync(directory, { recursive: true });
    for (const [file, content] of Object.entries(files)) {
      mkdirSync(join(planted, file, ".."), { recursive: true });
      writeFileSync(join(planted, file), content);
    }
    for (const argv of invocations) {
      const [expected, got] = [run(argv, clean), run(argv, planted, env)];
      expect(existsSync(proof)).toBe(false);
      expect({ argv, ...got }).toEqual({ argv, ...JSON.parse(JSON.stringify(expected).replaceAll(clean, planted)) });
    }
  }

  const bunfig = () =>
    `preload = [${JSON.stringify(evil)}]\n[run]\npreload = [${JSON.stringify(evil)}]\n[test]\npreload = [${JSON.stringify(evil)}]\n`;

  test("the trap works: a binary built without our flags runs the planted code", () => {
    const directory = join(folder, "control");
    mkdirSync(directory);
    writeFileSync(join(folder, "hello.ts"), 'console.log("hello");');
    const control = join(folder, "control-binary");
    Bun.spawnSync({
      cmd: [process.execPath, "build", "--compile", join(folder, "hello.ts"), "--outfile", control],
      stdout: "ignore",
      stderr: "ignore",
    });
    writeFileSync(join(directory, "bunfig.toml"), bunfig());
    Bun.spawnSync({ cmd: [control], cwd: directory, env: { PATH: "/usr/bin:/bin" }, stdin: "ignore", stdout: "ignore", stderr: "ignore" });
    expect(existsSync(proof)).toBe(true);
    rmSync(proof);
  });

  test("bunfig.toml with preload", () => {
    expectUnchanged("bunfig", { "bunfig.toml": bunfig(), ".bunfig.toml": bunfig() });
  });

  test(".env in every spelling", () => {
    const text = `BUN_OPTIONS=--preload=${evil}\nNODE_OPTIONS=--require=${evil}\nNO_COLOR=\nOPENSHELL_DEBUG=1\nOPENSHELL_GATEWAY=planted\nBUN_BE_BUN=1\n`;
    const names = [".env", ".env.local", ".env.production", ".env.development", ".env.test"];
    expectUnchanged("dotenv", Object.fromEntries(names.map((name) => [name, text])));
  });

  test("package.json, tsconfig.json and node_modules that shadow our modules", () => {
    expectUnchanged("modules", {
      "package.json": JSON.stringify({ type: "commonjs", imports: { "#x": evil }, main: evil, exports: evil, scripts: { sandbox: evil } }),
      "tsconfig.json": JSON.stringify({
        compilerOptions: { baseUrl: ".", paths: { "*": [evil], "node:fs": [evil], citty: [evil] }, jsxImportSource: evil },
      }),
      "node_modules/citty/index.js": `require(${JSON.stringify(evil)})`,
      "node_modules/yaml/index.js": `require(${JSON.stringify(evil)})`,
      "node_modules/@connectrpc/connect/index.js": `require(${JSON.stringify(evil)})`,
    });
  });

  test("NODE_OPTIONS, NODE_PATH and loader variables", () => {
    expectUnchanged(
      "node-options",
      {},
      { NODE_OPTIONS: `--require ${evil}`, NODE_PATH: folder, BUN_CONFIG_FILE: evil, BUN_INSTALL: folder },
    );
  });

  test("BUN_OPTIONS may stop the program and never runs code", () => {
    const directory = join(folder, "bun-options");
    mkdirSync(directory, { recursive: true });
    const options = [
      `--preload=${evil}`,
      `--preload ${evil}`,
      `-r ${evil}`,
      `--require=${evil}`,
      `--import=${evil}`,
      `-e "require('${evil}')"`,
      `--eval=require('${evil}')`,
      `--config=${join(folder, "bunfig-planted/bunfig.toml")}`,
      `run ${evil}`,
      `--env-file=${evil}`,
      `--cwd=${folder}`,
    ];
    for (const value of options) {
      for (const argv of invocations) {
        const { stdout, stderr } = run(argv, directory, { BUN_OPTIONS: value });
        expect({ value, argv, ran: existsSync(proof) || `${stdout}${stderr}`.includes("EVIL") }).toEqual({ value, argv, ran: false });
      }
    }
  });

  test("the binary refuses to make code from strings, whatever the environment says", () => {
    // The flag is compiled in; a planted option must not take it back.
    expectUnchanged("eval", {}, { BUN_JSC_evalMode: "1", BUN_DEBUG: folder });
  });
});
