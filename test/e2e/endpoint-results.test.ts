/** What `sandbox get` says of endpoints: answered, answered with a refusal of the caller, reached without a look inside. With the compiled binary. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, realpathSync } from "node:fs";
import { eventually } from "../eventually.ts";
import { missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";
import { Installation, missingBinary } from "./installation.ts";

const CURL = "/usr/bin/curl";
const missing = missingForTestInternet() ?? missingBinary() ?? (existsSync(CURL) ? undefined : `${CURL} is not installed`);
if (missing !== undefined) console.log(`skipped: results of endpoints: ${missing}`);

/** Reports are sent together, some seconds after what they are about. Milliseconds. */
const WITHIN_MS = 60_000;
const TEST_MS = 240_000;

const POLICY = `version: 1
network_policies:
  sites:
    endpoints:
      - { host: api.example.com, ports: [443], protocol: rest, access: read-only, enforcement: enforce }
      - { host: private-git.example.com, ports: [443] }
      - { host: other.example.com, ports: [443], tls: skip }
      - { host: api.example.com, ports: [80], protocol: rest, access: read-only, enforcement: enforce }
      - { host: nowhere.example.com, ports: [443] }
    binaries: [{ path: ${existsSync(CURL) ? realpathSync(CURL) : CURL} }]
`;

interface Shown {
  readonly endpoints: readonly { readonly id: string; readonly result: string; readonly failure: string | null }[];
}

describe.skipIf(missing !== undefined)("results of endpoints", () => {
  let net: TestInternet;
  let shell: Installation;
  beforeAll(async () => {
    net = await openTestInternet();
    shell = new Installation(net);
    await shell.startGateway();
    await shell.create("box", POLICY);
  });
  afterAll(async () => {
    await shell?.[Symbol.asyncDispose]();
    await net?.[Symbol.asyncDispose]();
  });

  const status = async (...argv: string[]): Promise<string> =>
    (await shell.exec("box", CURL, "-sS", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}", ...argv)).stdout;
  const results = async () =>
    Object.fromEntries(
      (await shell.json<Shown>("sandbox", "get", "box")).endpoints.map(({ id, result, failure }) => [
        id,
        failure === null ? result : `${result} ${failure}`,
      ]),
    );
  const settled = (wanted: Record<string, string>) =>
    eventually(
      "the results",
      WITHIN_MS,
      async () => {
        const found = await results();
        return Object.entries(wanted).every(([id, result]) => found[id] === result) ? found : undefined;
      },
      async () => JSON.stringify(await results()),
    );

  test(
    "an answer over HTTP/2 and HTTP/1.1, in TLS and in the clear, a 401, a connection that nobody looks into, a name that is none",
    async () => {
      expect(await status("https://api.example.com/")).toBe("200");
      expect(await status("--http1.1", "http://api.example.com/")).toBe("200");
      expect(await status("--http1.1", "https://private-git.example.com/acme/site.git/info/refs?service=git-upload-pack")).toBe("401");
      await status("-k", "https://other.example.com/");
      await status("https://nowhere.example.com/");
      await settled({
        "sites/0": "http_response_received",
        "sites/1": "upstream_rejected http_401",
        "sites/2": "no_observed_exchange",
        "sites/3": "http_response_received",
        "sites/4": "transport_failed resolution_failed",
      });
      expect(await shell.must("sandbox", "get", "box")).toMatch(/sites\/1 +private-git\.example\.com:443 +upstream_rejected +http_401/);
    },
    TEST_MS,
  );

  test(
    "a request that is refused here says so, and the next answer takes its place",
    async () => {
      expect(await status("-X", "DELETE", "https://api.example.com/")).toBe("403");
      await settled({ "sites/0": "policy_denied request_not_allowed" });
      expect(await status("--http1.1", "https://api.example.com/")).toBe("200");
      await settled({ "sites/0": "http_response_received" });
    },
    TEST_MS,
  );
});
