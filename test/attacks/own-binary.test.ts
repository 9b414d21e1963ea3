/** threat-33: our own executable, which an agent may find in a mount, drive by its environment, or replace where it lies. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, copyFileSync, existsSync, lstatSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BINARY } from "../e2e/installation.ts";
import type { Finished } from "../internet/open.ts";
import { Arena, missingForAttacks, rule } from "./arena.ts";

const missing = missingForAttacks();
if (missing !== undefined) console.log(`skipped: attacks on our own binary: ${missing}`);

/** What a compiled binary runs as a plain Bun: one request through the proxy. */
const REQUEST = `
const socket = require("node:net").connect(3128, "10.200.0.1", () => socket.write("CONNECT api.example.com:80 HTTP/1.1\\r\\nHost: api.example.com:80\\r\\n\\r\\n"));
let text = "";
socket.on("data", (data) => { text += data; if (text.includes("\\r\\n\\r\\n")) { console.log(text.split("\\r\\n")[0], /"reason":"(\\w+)"/.exec(text)?.[1] ?? ""); process.exit(0); } });
socket.on("close", () => { console.log("closed", text); process.exit(0); });`;

describe.skipIf(missing !== undefined)("our own binary", () => {
  let arena: Arena;
  beforeAll(async () => {
    arena = await Arena.open();
  });
  const removed: string[] = [];
  afterAll(async () => {
    await arena?.[Symbol.asyncDispose]();
    for (const path of removed) rmSync(path, { recursive: true, force: true });
  });

  test("threat-33: no rule opens anything to it, neither by its path, nor by a pattern, nor to what it starts", async () => {
    const folder = arena.directory("script");
    chmodSync(folder, 0o755);
    writeFileSync(join(folder, "request.js"), REQUEST);
    writeFileSync(
      join(folder, "child.js"),
      'require("node:child_process").spawnSync("/usr/bin/perl", ["/attacks/ask.pl", "api.example.com"], { stdio: "inherit" });',
    );
    const mounts = [`${BINARY}:/sandbox/openshell:ro`, `${folder}:/script:ro`];
    const env = { BUN_BE_BUN: "1" };
    for (const pattern of ["/sandbox/openshell", "/sandbox/*", "/**"]) {
      const network = rule("own", "api.example.com", 80, [pattern]);
      const asBun = await arena.runCommand(["/sandbox/openshell", "run", "/script/request.js"], { network, mounts, env });
      expect({ pattern, answer: asBun.stdout.trim() }).toEqual({ pattern, answer: "HTTP/1.1 403 Forbidden kernel_error" });
    }
    const children = [{ path: "/sandbox/openshell" }, { path: "/sandbox/*" }, { path: "/**/openshell" }];
    for (const { path } of children) {
      const network = rule("own", "api.example.com", 80, [path]);
      const started = await arena.runCommand(["/sandbox/openshell", "run", "/script/child.js"], { network, mounts, env });
      expect({ path, answer: started.stdout.trim() }).toEqual({ path, answer: "403 binary_not_allowed" });
    }
    // The control: a copy is a program like every other.
    const copy = "cp /sandbox/openshell /sandbox/copy && exec /sandbox/copy run /script/request.js";
    const network = rule("own", "api.example.com", 80, ["/sandbox/copy"]);
    const copied = await arena.runCommand(["/bin/sh", "-c", copy], { network, mounts, env });
    expect(copied.stdout.trim()).toBe("HTTP/1.1 200 Connection Established");
  }, 30_000);

  test("threat-33: who replaces it where it lies chooses nothing that the gateway or a sandbox runs", async () => {
    const { net } = arena;
    // Not below /tmp, which in a policy means the view's own.
    const tools = mkdtempSync("/var/tmp/openshell-attack-");
    removed.push(tools);
    chmodSync(tools, 0o777);
    const binary = join(tools, "openshell");
    copyFileSync(BINARY, binary);
    chmodSync(binary, 0o755);
    const proof = join(net.directory, "proof");
    const state = join(net.directory, "state");
    mkdirSync(state);
    const policy = join(net.directory, "tools.yaml");
    writeFileSync(
      policy,
      `version: 1\nfilesystem_policy: { include_workdir: true, read_only: [/usr, /proc], read_write: [/tmp, ${tools}] }\n`,
    );
    const env = {
      XDG_STATE_HOME: state,
      XDG_CONFIG_HOME: join(net.directory, "config"),
      OPENSHELL_SYSTEM_GATEWAY_DIR: join(net.directory, "system"),
      NO_COLOR: "1",
    };
    const must = async (...argv: string[]): Promise<Finished> => {
      const finished = await net.runOnHost([BINARY, ...argv], { env });
      if (finished.exitCode !== 0) throw new Error(`${argv.join(" ")}: ${finished.stdout}${finished.stderr}`);
      return finished;
    };
    const gateway = await net.spawnOnHost([binary, "gateway", "serve", "--allow-mount", tools], { env });
    await gateway.waitForOutput(/gateway ready/);
    await must("sandbox", "create", "--name", "first", "--policy", policy, "--detach", "--", "/bin/sleep", "1000");

    const replace = `mv ${binary} ${tools}/old && printf '#!/bin/sh\\necho ran > ${proof}\\n' > ${binary} && chmod 755 ${binary}`;
    await must("sandbox", "exec", "-n", "first", "--", "/bin/sh", "-c", replace);
    expect(lstatSync(binary).size).toBeLessThan(1000);

    expect((await must("sandbox", "exec", "-n", "first", "--", "/bin/echo", "again")).stdout).toBe("again\n");
    await must("sandbox", "create", "--name", "second", "--detach", "--", "/bin/sleep", "1000");
    expect((await must("sandbox", "exec", "-n", "second", "--", "/bin/echo", "new")).stdout).toBe("new\n");
    expect(existsSync(proof)).toBe(false);
    await must("sandbox", "delete", "first", "second");
    await gateway.kill("SIGTERM");
    await gateway.exited;
  }, 60_000);

  test("threat-33: its content cannot be changed while it runs, not even by root", async () => {
    const { net } = arena;
    const binary = join(arena.directory("running"), "openshell");
    copyFileSync(BINARY, binary);
    chmodSync(binary, 0o755);
    const program = await net.spawnOnHost([binary, "sandbox", "run", "--", "/bin/sh", "-c", "echo up; sleep 1000"]);
    await program.waitForOutput(/up/);
    expect((await net.runOnHost(["/bin/sh", "-c", `echo x >> ${binary}`])).stderr).toContain("busy");
    await program.kill("SIGTERM");
    await program.exited;
  });
});
