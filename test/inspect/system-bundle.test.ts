/** Programs that no variable reaches trust the sandbox's authority all the same: the system's bundle in the view is the sandbox's own. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SYSTEM_BUNDLES } from "../../src/authorities.ts";
import { CA, installed, missingFor, pathOf } from "../clients/inside.ts";
import { BINARY, Installation } from "../e2e/installation.ts";
import { openTestInternet, type TestInternet } from "../internet/open.ts";
import { as, missingForRootless, USER } from "../rootless/user.ts";

const wget = installed("wget", "/usr/bin/wget");
const curl = installed("curl", "/usr/bin/curl");
const missing = missingFor("the system's bundle of authorities", wget, curl);
const BUNDLE = SYSTEM_BUNDLES.find((path) => existsSync(path)) ?? SYSTEM_BUNDLES[0];

const policy = () => `version: 1
network_policies:
  api:
    endpoints: [{ host: api.example.com, port: 443, protocol: rest, access: read-only, enforcement: enforce }]
    binaries: [{ path: ${pathOf(wget)} }, { path: ${pathOf(curl)} }]
`;
/** With no variable at all: neither a proxy nor a file of authorities is named. */
const BARE = `cmp ${BUNDLE} ${CA} && for get in "wget -q -O-" "curl -sS"; do env -i $get https://api.example.com/bare; echo; done
  env -i wget -q -O- --post-data=x https://api.example.com/bare; echo "post $?"`;
const SERVED = /^\{.*"path":"\/bare".*\}\n\{.*"path":"\/bare".*\}\npost 8\n$/s;

describe.skipIf(missing !== undefined)("the system's bundle", () => {
  let net: TestInternet;
  let shell: Installation;
  const before = existsSync(BUNDLE) ? readFileSync(BUNDLE, "utf8") : "";
  beforeAll(async () => {
    net = await openTestInternet();
    shell = new Installation(net);
  });
  afterAll(async () => {
    await shell?.[Symbol.asyncDispose]();
    await net?.[Symbol.asyncDispose]();
  });

  test("a program without any variable is answered where allowed, refused where not; the host's file stays as it was", async () => {
    const file = shell.policy("bundle", policy());
    const { stdout, stderr } = await net.runOnHost([BINARY, "sandbox", "run", "--policy", file, "--", "/bin/sh", "-c", BARE]);
    expect({ stdout, stderr: SERVED.test(stdout) ? "" : stderr }).toEqual({ stdout: expect.stringMatching(SERVED), stderr: "" });
    expect(stderr).toMatch(/HTTP:POST .*DENIED .*\/bare/);
    expect(readFileSync(BUNDLE, "utf8")).toBe(before);
  });

  test("nobody inside can change it", async () => {
    const file = shell.policy("bundle", policy());
    const attempts = `echo x >> ${BUNDLE}; rm -f ${BUNDLE}; mv ${BUNDLE} ${BUNDLE}.x; ln -sf /tmp/x ${BUNDLE}; umount ${BUNDLE}; cmp ${BUNDLE} ${CA} && echo same`;
    const { stdout } = await net.runOnHost([BINARY, "sandbox", "run", "--policy", file, "--", "/bin/sh", "-c", attempts]);
    expect(stdout).toBe("same\n");
    expect(readFileSync(BUNDLE, "utf8")).toBe(before);
  });

  test("a file that a person mounts in its place stays", async () => {
    const own = join(net.directory, "own.pem");
    writeFileSync(own, "a person's own\n");
    const file = shell.policy("bundle", policy());
    const { stdout } = await net.runOnHost([
      ...[BINARY, "sandbox", "run", "--policy", file, "--mount", `${own}:${BUNDLE}`],
      ...["--", "/bin/sh", "-c", `cat ${BUNDLE}`],
    ]);
    expect(stdout).toBe("a person's own\n");
  });

  test("it is there for programs that enter a running sandbox", async () => {
    await shell.startGateway();
    await shell.create("work", policy());
    const { stdout, stderr } = await shell.exec("work", "/bin/sh", "-c", BARE);
    expect({ stdout, stderr: SERVED.test(stdout) ? "" : stderr }).toEqual({ stdout: expect.stringMatching(SERVED), stderr: "" });
  });

  const noUser = missingForRootless();
  if (noUser !== undefined) console.log(`skipped: the system's bundle in an ordinary user's sandbox: ${noUser}`);
  test.skipIf(noUser !== undefined)("in an ordinary user's sandbox too", async () => {
    chmodSync(net.directory, 0o755);
    const home = join(net.directory, "user");
    mkdirSync(home);
    const file = join(home, "policy.yaml");
    writeFileSync(file, policy());
    for (const path of [home, file]) chownSync(path, USER, USER);
    const words = [BINARY, "sandbox", "run", "--policy", file, "--", "/bin/sh", "-c", BARE];
    const { stdout, stderr } = await net.runOnHost([...as(USER), ...words], { env: { XDG_RUNTIME_DIR: home } });
    expect({ stdout, stderr: SERVED.test(stdout) ? "" : stderr }).toEqual({ stdout: expect.stringMatching(SERVED), stderr: "" });
  });
});
