/** Every way to act under the name of a program that one is not, tried by a confined program with the rules of the others in force. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Seen } from "../internet/seen.ts";
import { Arena, missingForAttacks, type Outcome, PERL, rule } from "./arena.ts";

const missing = missingForAttacks();
if (missing !== undefined) console.log(`skipped: attacks on identity: ${missing}`);

/** Asks the proxy from inside whatever program it is loaded into, and ends it. */
const SHARED_LIBRARY = `
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
__attribute__((constructor)) static void act(void) {
  struct sockaddr_in proxy = {.sin_family = AF_INET, .sin_port = htons(3128)};
  char answer[13] = "";
  const char *request = "CONNECT library.example.com:80 HTTP/1.1\\r\\nHost: library.example.com:80\\r\\n\\r\\n";
  int s = socket(AF_INET, SOCK_STREAM, 0);
  inet_pton(AF_INET, "10.200.0.1", &proxy.sin_addr);
  if (connect(s, (struct sockaddr *)&proxy, sizeof proxy) || write(s, request, strlen(request)) < 0 || read(s, answer, 12) < 12) _exit(1);
  if (write(1, answer, 12) < 0) _exit(1);
  _exit(0);
}`;

const COMPILER = "/usr/bin/gcc";
const ADDRESS = "93.184.216.40";
/** Where only other programs may go. */
const OTHERS = ["link", "script", "gone", "family", "self", "library", "flat", "deep", "any"];

describe.skipIf(missing !== undefined)("identity", () => {
  let arena: Arena;
  let probes: Outcome["probes"];
  let stderr: string;
  let seen: Seen;

  beforeAll(async () => {
    arena = await Arena.open(Object.fromEntries(OTHERS.map((name) => [`${name}.example.com`, [ADDRESS]])));
    const network =
      rule("own", "api.example.com", 80, [PERL]) +
      rule("victim", "other.example.com", 80, ["/usr/bin/cat", "/usr/bin/sleep"]) +
      rule("library", "library.example.com", 80, ["/usr/bin/cat"]) +
      rule("tool", "cdn.example.net", 80, ["/sandbox/tool"]) +
      rule("link", "link.example.com", 80, ["/sandbox/link"]) +
      rule("script", "script.example.com", 80, ["/sandbox/script"]) +
      rule("flat", "flat.example.com", 80, ["/sandbox/flat/*"]) +
      rule("deep", "deep.example.com", 80, ["/sandbox/deep/**"]) +
      rule("any", "any.example.com", 80, ["/**"]) +
      rule("gone", "gone.example.com", 80, ["/sandbox/gone"]) +
      rule("family", "family.example.com", 80, ["/usr/bin/bash"]) +
      "  self:\n    endpoints: [{ host: self.example.com, port: 80 }]\n    binaries: [{ path: /usr/bin/bash, self_only: true }]\n";
    const [folder, env] = library();
    const outcome = await arena.runCommand(["/bin/sh", "-c", `cp ${PERL} /sandbox/tool && exec ${PERL} /attacks/identity.pl`], {
      network,
      env,
      mounts: [`${folder}:/library:ro`],
    });
    if (outcome.exitCode !== 0) throw new Error(`exit ${outcome.exitCode}: ${outcome.stdout}${outcome.stderr}`);
    probes = outcome.probes;
    stderr = outcome.stderr;
    seen = await arena.net.seenWhenQuiet();
  });
  afterAll(() => arena?.[Symbol.asyncDispose]());

  /** A directory with a library for LD_PRELOAD where there is a compiler, and the variable that names it. */
  function library(): [string, Record<string, string>] {
    const folder = arena.directory("library");
    chmodSync(folder, 0o755);
    const source = join(folder, "evil.c");
    writeFileSync(source, SHARED_LIBRARY);
    const built =
      existsSync(COMPILER) && Bun.spawnSync([COMPILER, "-shared", "-fPIC", "-o", join(folder, "evil.so"), source]).exitCode === 0;
    if (!built) console.log(`skipped: LD_PRELOAD: ${COMPILER} does not work here`);
    return [folder, built ? { PRELOAD: "/library/evil.so" } : {}];
  }

  const expectProbes = (expected: Record<string, string>) =>
    expect(Object.fromEntries(Object.keys(expected).map((name) => [name, probes[name]]))).toEqual(expected);

  test("the probes work: the program's own rule holds before and after", () => {
    expectProbes({ "own rule": "200", "own rule at the end": "200", "first use": "200" });
  });

  test("case-25, case-27: another program's rule is not one's own", () => {
    expectProbes({ "another program's rule": "403 binary_not_allowed", "no rule at all": "403 host_not_allowed" });
  });

  test("case-24, case-32: patterns of programs mean what they say", () => {
    expectProbes({
      "any program": "200",
      "any program, another host": "403 host_not_allowed",
      "one star, same directory": "200",
      "one star, below": "403 binary_not_allowed",
      "two stars, deep below": "200",
      "two stars, elsewhere": "403 binary_not_allowed",
    });
  });

  test("threat-01, case-35: the image that called connect decides, whoever holds the socket", () => {
    expectProbes({
      "an allowed program sends": "403 binary_not_allowed x20",
      "descriptor parked in a queue": "403 binary_not_allowed x20",
      "socket passed to an allowed program": "403 binary_not_allowed",
      "socket of an allowed program used by another": "200",
    });
  });

  test("threat-01: two programs that call connect on one socket are nobody", () => {
    expectProbes({
      "two programs connect one socket": "403 binary_not_allowed",
      "connect refused, then by an allowed program": "403 ambiguous",
    });
  });

  test("threat-02: connect, send, execute an allowed program: 1,000 of 1,000 denied", () => {
    expectProbes({ "exec an allowed program after sending": "403 binary_not_allowed x1000" });
  });

  test("case-31: argv[0], the process name, a script's path and a link are not the program", () => {
    expectProbes({
      "argv[0] of an allowed program": "403 binary_not_allowed",
      "process name of an allowed program": "403 binary_not_allowed",
      "script with an allowed path": "403 binary_not_allowed",
      "link with an allowed path to another program": "403 binary_not_allowed",
    });
  });

  test("a link to an allowed program is that program; a hard link, a copy, the loader or a deleted file is not", () => {
    expectProbes({
      "link to an allowed program": "200",
      "hard link to an allowed program": "403 binary_not_allowed",
      "copy of an allowed program": "403 binary_not_allowed",
      "loader runs an allowed program": "403 binary_not_allowed",
      "file called (deleted)": "403 kernel_error",
      "program whose file is gone": "403 kernel_error",
      "program called **": "403 binary_not_allowed",
    });
    expect(probes["hard link to a program of the system"]).not.toBe("ok");
  });

  test("threat-07, case-30: a rule covers what the program starts, unless it says self_only", () => {
    expectProbes({ "child of an allowed program": "200", "grandchild of an allowed program": "200" });
    expect(probes["parent becomes an allowed program, self.example.com"]).toBe("403 binary_not_allowed");
  });

  test("an orphan has lost its allowed ancestor; a parent that becomes an allowed program is one", () => {
    expectProbes({
      "orphan of an allowed program": "403 binary_not_allowed",
      "parent becomes an allowed program, family.example.com": "200",
    });
  });

  test("whoever controls the environment of an allowed program acts as that program, and only as that", () => {
    expect(probes["module loaded into an allowed program"]).toBe("200");
    if (probes["library loaded into an allowed program"] !== undefined)
      expect(probes["library loaded into an allowed program"]).toBe("HTTP/1.1 200");
  });

  test("case-33: a binary that changes after its first use is denied until its content is back", () => {
    expectProbes({
      "replaced after first use": "403 binary_integrity",
      "original content again": "200",
      "overwritten in place, with its old date": "403 binary_integrity",
      "renamed onto it": "200",
      "replaced by a link to a program of the system": "403 binary_not_allowed",
    });
    expect(stderr).toContain("Binary integrity violation: /sandbox/tool");
  });

  test("threat-35: a running binary cannot be written, nor one run that is mapped for writing", () => {
    expectProbes({ "write while it runs": "ETXTBSY", "run while it is mapped writable": "exec: ETXTBSY" });
  });

  test("threat-10: closing early, with a listener of its own on the same port, never names another program", () => {
    expect(probes["close early, with a listener on the port"]).toBe("tried 200");
    expect(seen.requests.filter(({ path }) => path === "/early")).toEqual([]);
  });

  test("case-34: IPv4 through an IPv6 socket is identified", () => {
    expect(probes["IPv4 through an IPv6 socket"]).toBe("200");
  });

  test("every host that was denied throughout saw nothing", () => {
    expect(seen.connections.filter(({ address }) => address === "93.184.216.35")).toEqual([]);
    const asked = seen.questions.map(({ name }) => name);
    for (const denied of ["other", "nowhere", "link", "script", "gone"]) expect(asked).not.toContain(`${denied}.example.com`);
  });
});
