import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { CreateSshSessionResponseSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { findSsh, proxyWord, sshConfigBlock } from "./ssh-client.ts";
import { fingerprintOf } from "./ssh-host-key.ts";
import { checkedSession } from "./ssh-session.ts";

test("a word of a ProxyCommand reaches the program as it is", async () => {
  for (const word of ["/usr/bin/openshell", "with blank", "quo'te", "$HOME", "a;b", "100%", "`id`"]) {
    // ssh replaces %% by % and gives the rest to a shell.
    const shell = proxyWord(word).replaceAll("%%", "%");
    const child = Bun.spawn(["/bin/sh", "-c", `printf %s ${shell}`], { stdout: "pipe" });
    expect(await new Response(child.stdout).text()).toBe(word);
  }
});

test("threat-15 ssh is looked for in absolute directories only", () => {
  const directory = mkdtempSync(join(tmpdir(), "path-"));
  try {
    mkdirSync(join(directory, "bin"));
    writeFileSync(join(directory, "bin/ssh"), "#!/bin/sh\n");
    chmodSync(join(directory, "bin/ssh"), 0o755);
    expect(findSsh({ PATH: `.:bin::relative:${directory}/bin` })).toBe(join(directory, "bin/ssh"));
    expect(() => findSsh({ PATH: ".:bin:" })).toThrow("ssh is not installed");
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("a host block is one that ssh reads", async () => {
  const block = sshConfigBlock({ alias: "openshell-work.default", options: { User: "sandbox", ForwardAgent: "no" } }, ["openshell-work"]);
  const child = Bun.spawn(["ssh", "-G", "-F", "/dev/stdin", "openshell-work"], { stdin: Buffer.from(block), stdout: "pipe" });
  const text = await new Response(child.stdout).text();
  expect(text).toContain("user sandbox");
  expect(text).toContain("forwardagent no");
});

test("what a gateway answers must look as it should", () => {
  const good = { sandboxId: "id-1", token: "abc_-~+/=" };
  expect(checkedSession(create(CreateSshSessionResponseSchema, good)).token).toBe(good.token);
  for (const bad of [
    { ...good, token: "a b" },
    { ...good, token: "" },
    { ...good, sandboxId: "-oProxyCommand=x y" },
    { ...good, hostKeyFingerprint: "x".repeat(257) },
  ])
    expect(() => checkedSession(create(CreateSshSessionResponseSchema, bad))).toThrow("malformed");
});

test("the fingerprint of a key is as ssh-keygen prints it", () => {
  const directory = mkdtempSync(join(tmpdir(), "key-"));
  try {
    const file = join(directory, "key");
    Bun.spawnSync(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file]);
    const printed = Bun.spawnSync(["ssh-keygen", "-l", "-f", `${file}.pub`]).stdout.toString();
    const key = readFileSync(`${file}.pub`, "utf8").split(" ")[1] ?? "";
    expect(fingerprintOf(key)).toBe(printed.split(" ")[1] ?? "");
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
