/** What the programs of a person's machine rely on: whose key it is, how their terminal is set, and editors. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OpenShell } from "../../src/rpc/gen/openshell/v1/openshell_pb.ts";
import { BINARY, workspaceScope } from "../gateway/host.ts";
import { registeredClient } from "../gateway/plain-grpc.ts";
import { Entry, HOST, missingForSsh, SANDBOX } from "./entry.ts";

/** Sandboxes are started with programs of the machine: this long is enough on one that is three times slower. */
const START_TIME = 60_000;
const OTHER = "other";

const missing = missingForSsh("ssh", "stty");
if (missing !== undefined) console.warn(`skipped: ${missing}`);

describe.skipIf(missing !== undefined)("ssh and editors", () => {
  let entry: Entry;
  beforeAll(async () => {
    entry = await Entry.open();
    expect((await entry.cli("sandbox", "create", "--name", OTHER)).exitCode).toBe(0);
  }, START_TIME);
  afterAll(async () => {
    await entry?.[Symbol.asyncDispose]();
  }, START_TIME);

  describe("the key of a sandbox's SSH server", () => {
    const shown = async (name: string) =>
      JSON.parse((await entry.cli("sandbox", "get", name, "-o", "json")).stdout)["host_key_fingerprint"] as string;

    test("is told by the gateway, of each sandbox its own", async () => {
      using client = registeredClient(entry.gateway);
      const { sandbox } = await client.unary(OpenShell.method.getSandbox, { workspaceScope, name: SANDBOX });
      const session = await client.unary(OpenShell.method.createSshSession, { workspaceScope, sandbox: SANDBOX });
      expect(sandbox?.hostKeyFingerprint).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/);
      expect(session.hostKeyFingerprint).toBe(sandbox?.hostKeyFingerprint ?? "");
      expect(await shown(SANDBOX)).toBe(session.hostKeyFingerprint);
      expect(await shown(OTHER)).not.toBe(session.hostKeyFingerprint);
      expect((await entry.cli("sandbox", "get", SANDBOX)).stdout).toContain(session.hostKeyFingerprint);
    });

    test("threat-12 another server's key is not taken, and nothing is run there", async () => {
      const config = readFileSync(entry.config, "utf8");
      expect(config).not.toContain("StrictHostKeyChecking no");
      const proxy = /ProxyCommand (.*)/.exec(config)?.[1] ?? "";
      const elsewhere = proxy.replace(`--name ${SANDBOX}`, `--name ${OTHER}`);
      expect(elsewhere).not.toBe(proxy);
      const ran = await entry.run(["ssh", "-F", entry.config, "-o", `ProxyCommand=${elsewhere}`, HOST, "echo ran"]);
      expect([ran.exitCode, ran.stdout]).toEqual([255, ""]);
      expect(ran.stderr).toContain("Host key verification failed");
      expect(ran.stderr).toContain(`is not that of sandbox '${SANDBOX}'`);
    });

    test(
      "is another after a restart, and the same configuration still works",
      async () => {
        const before = await shown(OTHER);
        const config = join(entry.gateway.directory, "other.conf");
        writeFileSync(config, (await entry.cli("sandbox", "ssh-config", OTHER)).stdout);
        for (const verb of ["stop", "start"]) expect((await entry.cli("sandbox", verb, OTHER)).exitCode).toBe(0);
        expect(await entry.run(["ssh", "-F", config, `openshell-${OTHER}`, "echo here"])).toEqual({
          exitCode: 0,
          stdout: "here\n",
          stderr: "",
        });
        expect(await shown(OTHER)).not.toBe(before);
      },
      START_TIME,
    );
  });

  describe("a terminal is set as the person's own", () => {
    const words = (settings: string, ...command: string[]) =>
      entry.terminal("/bin/sh", "-c", `stty ${settings}; exec "$@"`, "sh", "ssh", "-F", entry.config, "-tt", HOST, ...command);

    test("case-98 keys and flags, before the program looks at them", async () => {
      const screen = words("intr ^B quit undef erase ^H -echoctl -onlcr -ixon", "stty -a");
      expect(await screen.exited()).toBe(0);
      expect(screen.text).toMatch(/intr = \^B; quit = <undef>; erase = \^H;/);
      const flags = screen.text.split(/\s+/);
      for (const flag of ["-echoctl", "-onlcr", "-ixon", "icanon", "isig", "icrnl"]) expect(flags).toContain(flag);
    });

    test("case-98 without echo nothing is echoed; with it, it is", async () => {
      for (const echo of [true, false]) {
        const screen = words(echo ? "echo" : "-echo", "echo ready; read line; echo got $line | tr a-z A-Z");
        await screen.shows(/ready/);
        screen.type("quiet\r");
        expect(await screen.exited()).toBe(0);
        expect(screen.text).toContain("GOT QUIET");
        expect(screen.text.includes("quiet")).toBe(echo);
      }
    });

    test("case-98 the interrupt key is the person's", async () => {
      const screen = words("intr ^B");
      await screen.shows(/\$ $/);
      screen.type("sleep 1000; echo co''de $?\r");
      await screen.shows(/sleep 1000/);
      screen.type("\x02");
      await screen.shows(/\$ $/);
      screen.type("exit 4\r");
      expect(await screen.exited()).toBe(4);
    });
  });

  describe("an editor", () => {
    const person = () => {
      const home = join(entry.gateway.directory, "home");
      const bin = join(home, "bin");
      mkdirSync(bin, { recursive: true });
      for (const name of ["code", "cursor"]) {
        const script = `#!/bin/sh
printf '%s\\n' "$0" "$@" > "$HOME/arguments"
exec ssh -F "$HOME/.ssh/config" "\${2#ssh-remote+}" 'id -un; pwd'
`;
        writeFileSync(join(bin, name), script);
        chmodSync(join(bin, name), 0o755);
      }
      return { ...entry.gateway.env, HOME: home, PATH: `${bin}:${process.env["PATH"]}` };
    };
    const run = async (env: Record<string, string>, ...argv: string[]) => {
      const child = Bun.spawn({ cmd: [...argv], env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
      const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
      return { exitCode: await child.exited, stdout, stderr };
    };

    test.each([
      ["vscode", "code"],
      ["cursor", "cursor"],
    ])("%s is started with the sandbox's name, by which its ssh gets in", async (editor, program) => {
      const env = person();
      const ran = await run(env, BINARY, "sandbox", "connect", SANDBOX, "--editor", editor);
      expect(ran).toEqual({ exitCode: 0, stdout: "sandbox\n/sandbox\n", stderr: "" });
      const words = readFileSync(join(env.HOME, "arguments"), "utf8").trim().split("\n");
      expect(words).toEqual([join(env.HOME, "bin", program), "--remote", `ssh-remote+${HOST}.default`, "/sandbox"]);
    });

    test("at create, when the sandbox is ready", async () => {
      const ran = await run(person(), BINARY, "sandbox", "create", "--name", "edited", "--editor", "vscode");
      expect([ran.exitCode, ran.stdout]).toEqual([0, "sandbox\n/sandbox\n"]);
      expect((await entry.cli("sandbox", "delete", "edited")).exitCode).toBe(0);
    });

    test("that is not installed is said before anything is made", async () => {
      const env = { ...person(), PATH: "/nowhere" };
      const ran = await run(env, BINARY, "sandbox", "create", "--name", "unedited", "--editor", "cursor");
      expect([ran.exitCode, ran.stdout]).toEqual([1, ""]);
      expect(ran.stderr).toContain("cursor is not on PATH");
      expect((await entry.cli("sandbox", "get", "unedited")).exitCode).toBe(1);
    });
  });
});
