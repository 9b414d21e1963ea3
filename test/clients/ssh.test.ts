/** A whole login with ssh through the proxy, by the commands that people put into ProxyCommand. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { missingSshd } from "../internet/servers/sshd.ts";
import { Inside, installed, missingFor, pathOf } from "./inside.ts";

const PORT = 22_022;
const HOST = "ssh.example.com";
const PROXY = ["10.200.0.1", "3128"] as const;
const [proxyHost, proxyPort] = PROXY;

const ssh = installed("ssh", "/usr/bin/ssh");
const server = missingSshd();
/** Each with the words that make it ask the proxy for a tunnel (CONNECT). */
const HELPERS = [
  ["nc of OpenBSD", installed("nc of OpenBSD", "/usr/bin/nc.openbsd"), `-X connect -x ${proxyHost}:${proxyPort} %h %p`],
  ["ncat", installed("ncat", "/usr/bin/ncat"), `--proxy ${proxyHost}:${proxyPort} --proxy-type http %h %p`],
  ["socat", installed("socat", "/usr/bin/socat"), `- PROXY:${proxyHost}:%h:%p,proxyport=${proxyPort}`],
] as const;

const missing = missingFor("logins with ssh", ssh, server === undefined ? { path: "" } : { missing: server });
describe.skipIf(missing !== undefined)("a login with ssh through a ProxyCommand", () => {
  let inside: Inside;
  let login: (helper: string, host: string, input: string) => ReturnType<Inside["script"]>;

  beforeAll(async () => {
    // ssh is what the person allowed; the helper that it starts connects.
    inside = await Inside.open([{ binaries: [pathOf(ssh)], endpoints: [`${HOST}:${PORT}`] }]);
    const access = await inside.net.startSshd(PORT);
    writeFileSync(inside.place("id"), access.key);
    writeFileSync(inside.place("known_hosts"), `[${HOST}]:${PORT} ${access.hostKey}\n`);
    const mounts = ["id", "known_hosts"].flatMap((name) => ["--mount", `${inside.place(name)}:/${name}`]);
    login = (helper, host, input) =>
      inside.run(
        [
          "/bin/sh",
          "-ec",
          `cp /id key; chmod 600 key; exec ssh -F none -i key -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile=/known_hosts \
            -o StrictHostKeyChecking=yes -o "ProxyCommand=$1" -p ${PORT} ${access.user}@$2 date`,
          "sh",
          helper,
          host,
        ],
        mounts,
        input,
      );
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());

  for (const [name, program, words] of HELPERS) {
    test.skipIf("missing" in program)(`${name}: the command runs there, and what is sent comes back whole`, async () => {
      const input = "a line of input\n".repeat(20_000);
      const { exitCode, stdout, stderr } = await login(`${pathOf(program)} ${words}`, HOST, input);
      expect({ exitCode, errors: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, errors: "" });
      expect(stdout.startsWith("logged in for: date\n")).toBe(true);
      expect(stdout.slice(stdout.indexOf("\n") + 1) === input).toBe(true);
      expect(stderr).toContain(`ALLOWED ${pathOf(program)}`);
      expect(stderr).toContain(`${HOST}:${PORT}`);
    });

    test.skipIf("missing" in program)(`${name}: a server that is not allowed is never reached`, async () => {
      const { exitCode, stdout, stderr } = await login(`${pathOf(program)} ${words}`, "other.example.com", "");
      expect({ exitCode, stdout }).toEqual({ exitCode: 255, stdout: "" });
      expect(stderr).toMatch(/DENIED .*other\.example\.com/);
      expect(stderr).not.toContain("logged in");
    });
  }
});
