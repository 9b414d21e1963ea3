import { describe, expect, test } from "bun:test";
import { utils } from "ssh2";
import { newHostKey } from "./host-key.ts";
import { loopbackAddress } from "./loopback.ts";
import { programFor } from "./program.ts";

describe("case-99 a forwarded connection stays on the sandbox's loopback", () => {
  for (const [host, address] of [
    ["127.0.0.1", "127.0.0.1"],
    ["127.8.9.10", "127.8.9.10"],
    ["localhost", "127.0.0.1"],
    ["LocalHost", "127.0.0.1"],
    ["::1", "::1"],
    ["[::1]", "::1"],
    ["::ffff:127.0.0.1", "127.0.0.1"],
  ] as const)
    test(`${host} is it`, () => expect(loopbackAddress(host, 80)).toEqual({ address, port: 80 }));
  for (const host of [
    "10.200.0.1",
    "10.0.0.1",
    "0.0.0.0",
    "169.254.169.254",
    "example.com",
    "localhost.evil.com",
    "::",
    "fe80::1",
    "127.1",
    "2130706433",
    "::ffff:10.0.0.1",
    "127.0.0.1\0",
  ])
    test(`${JSON.stringify(host)} is not`, () => expect(() => loopbackAddress(host, 80)).toThrow("is not the sandbox's own loopback"));
  for (const port of [0, -1, 65_536, 1.5, Number.NaN])
    test(`port ${port} is none`, () => expect(() => loopbackAddress("127.0.0.1", port)).toThrow("is not one of"));
});

describe("programs", () => {
  const surroundings = { shell: "/bin/bash", workdir: "/sandbox", environment: { HOME: "/sandbox", TERM: "dumb" } };
  const terminal = { columns: 100, rows: 30, term: "screen-256color", modes: {} };

  test("case-98 a command runs in a login shell, a shell with a terminal is one", () => {
    expect(programFor({ kind: "command", command: "id; exit 3" }, undefined, surroundings).argv).toEqual([
      "/bin/bash",
      "-lc",
      "id; exit 3",
    ]);
    expect(programFor({ kind: "shell" }, terminal, surroundings)).toMatchObject({
      argv: ["/bin/bash", "-l"],
      stdio: { columns: 100, rows: 30 },
    });
    expect(programFor({ kind: "shell" }, undefined, surroundings)).toMatchObject({ argv: ["/bin/bash"], stdio: "pipe" });
  });

  test("threat-32 of the client's environment only the terminal's name comes in, and only a name", () => {
    expect(programFor({ kind: "shell" }, terminal, surroundings).environment["TERM"]).toBe("screen-256color");
    for (const term of ["../../tmp/x", "", "a b", "x\ny", "x".repeat(65)])
      expect(programFor({ kind: "shell" }, { ...terminal, term }, surroundings).environment["TERM"]).toBe("xterm-256color");
  });
});

test("a host key is one that the library reads, with the fingerprint that ssh-keygen prints", () => {
  const { privateKey, fingerprint } = newHostKey();
  const parsed = utils.parseKey(privateKey);
  if (parsed instanceof Error) throw parsed;
  expect(parsed.type).toBe("ssh-ed25519");
  const digest = new Bun.CryptoHasher("sha256").update(parsed.getPublicSSH()).digest("base64").replace(/=+$/, "");
  expect(fingerprint).toBe(`SHA256:${digest}`);
  const signature = parsed.sign(Buffer.from("data"));
  expect(parsed.verify(Buffer.from("data"), signature as Buffer)).toBe(true);
});
