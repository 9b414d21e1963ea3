/** Placeholders become secrets on the way out: with the compiled binary, real programs, and a server that sends back whatever it got. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { signature } from "../../src/modes/sandbox/credentials/sigv4.ts";
import { BINARY, missingBinary } from "../e2e/installation.ts";
import { type Finished, missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";
import type { Mirrored } from "../internet/servers/mirror.ts";

const CURL = "/usr/bin/curl";
const missing = missingForTestInternet() ?? missingBinary() ?? (existsSync(CURL) ? undefined : `${CURL} is not installed`);
if (missing !== undefined) console.log(`skipped: credentials: ${missing}`);

const GIT = ["/usr/bin/git", "/usr/lib/git-core/git-remote-http"].filter((path) => existsSync(path));
const NODE = ["/usr/bin/node"].filter((path) => existsSync(path));
const PROGRAMS = [CURL, ...GIT, ...NODE].map((path) => `{ path: ${realpathSync(path)} }`).join(", ");

const SECRETS = {
  TOKEN: "ghx_9vT2wLq7RzK4mN8pB3cD",
  API_KEY: "sk-real-0a1b2c3d4e5f6g7h",
  QUERY_KEY: "AIza+slash/equals=Q9",
  BOT_TOKEN: "771205:AAH-xyz_Tele9gram",
  GIT_TOKEN: "a-real-git-token-1234",
  SKIPPED: "never-sent-anywhere-1",
  SLASHED: "another/never/sent-2",
  AWS_ACCESS_KEY_ID: "AKIAREALREALREAL1234",
  AWS_SECRET_ACCESS_KEY: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYREALKEY",
} as const;
/** Matches the secret and not itself, since it stands in a command line. */
const pattern = (secret: string) => `[${secret[0]}]${secret.slice(1).replaceAll("+", "[+]")}`;
const P = (key: string) => `openshell:resolve:env:${key}`;

const CREDENTIALS = `version: 1
credentials:
  TOKEN:
    env: HOST_TOKEN
    provider: forge
    endpoints: [{ host: mirror.example.com, path: /** }, { host: api.example.com, path: /socket }, { host: h2.example.com, port: 9443 }]
  API_KEY:
    file: api-key
    slots: [{ header: X-Api-Key }]
    endpoints: [{ host: mirror.example.com, ports: [443, 80] }]
  QUERY_KEY:
    value: ${SECRETS.QUERY_KEY}
    slots: [{ query: key }]
    endpoints: [{ host: mirror.example.com }]
  BOT_TOKEN:
    value: "${SECRETS.BOT_TOKEN}"
    alias: tg
    slots: [{ path: "/bot{credential}/**" }]
    endpoints: [{ host: mirror.example.com }]
  GIT_TOKEN: { value: ${SECRETS.GIT_TOKEN}, endpoints: [{ host: private-git.example.com }] }
  SKIPPED: { value: ${SECRETS.SKIPPED}, slots: [{ header: X-Api-Key }], endpoints: [{ host: skipped.example.com }] }
  SLASHED: { value: ${SECRETS.SLASHED}, slots: [{ path: "/hook/{credential}" }], endpoints: [{ host: mirror.example.com }] }
  AWS_ACCESS_KEY_ID: { value: ${SECRETS.AWS_ACCESS_KEY_ID}, provider: aws }
  AWS_SECRET_ACCESS_KEY: { value: ${SECRETS.AWS_SECRET_ACCESS_KEY}, provider: aws }
`;

const POLICY = `version: 1
network_policies:
  api:
    endpoints:
      - { host: mirror.example.com, port: 443, path: /**, protocol: rest, enforcement: enforce, mask_responses: true, request_body_credential_rewrite: true,
          rules: [{ allow: { method: "*", path: "/**" } }], deny_rules: [{ method: "*", path: "/secret/**" }, { method: "*", path: "/**", query: { key: "AIza*" } }] }
      - { host: mirror.example.com, ports: [80, 8443], protocol: rest, access: full, enforcement: enforce }
      - { host: api.example.com, port: 443, path: /socket, protocol: websocket, access: full, enforcement: enforce, websocket_credential_rewrite: true, mask_responses: true }
      - { host: api.example.com, port: 443, path: /unread, protocol: rest, access: full, enforcement: enforce, mask_responses: true }
      - { host: h2.example.com, port: 9443, protocol: rest, access: full, enforcement: enforce, mask_responses: true }
      - { host: other.example.com, port: 443, protocol: rest, access: full, enforcement: enforce, credential_signing: sigv4, signing_service: sqs, mask_responses: true }
      - { host: api.example.com, port: 443, protocol: rest, access: full, enforcement: enforce, credential_signing: sigv4, signing_service: s3, mask_responses: true }
      - { host: private-git.example.com, port: 443 }
      - { host: cdn.example.net, port: 443, tls: skip }
      - { host: skipped.example.com, port: 443, tls: skip }
    binaries: [${PROGRAMS}]
`;

describe.skipIf(missing !== undefined)("credentials", () => {
  let net: TestInternet;
  let flags: readonly string[];

  beforeAll(async () => {
    net = await openTestInternet({ zones: { "skipped.example.com": ["93.184.216.40"] } });
    const place = (name: string, text: string, mode = 0o600) => {
      const path = join(net.directory, name);
      writeFileSync(path, text, { mode });
      return path;
    };
    place("api-key", `${SECRETS.API_KEY}\n`);
    flags = ["--policy", place("policy.yaml", POLICY), "--credentials", place("credentials.yaml", CREDENTIALS)];
  });
  afterAll(async () => await net?.[Symbol.asyncDispose]());

  const run = async (...argv: string[]): Promise<Finished> => {
    const finished = await net.runOnHost([BINARY, "sandbox", "run", ...flags, "--", ...argv], { env: { HOST_TOKEN: SECRETS.TOKEN } });
    // Whatever a test looks at: no secret reaches a program or the log.
    for (const secret of Object.values(SECRETS)) expect(`${finished.stdout}${finished.stderr}`).not.toContain(secret);
    return finished;
  };
  const script = (text: string) => run("/bin/sh", "-c", text);
  const mirrored = (): Mirrored[] => {
    const file = join(net.directory, "mirror.jsonl");
    return existsSync(file)
      ? readFileSync(file, "utf8")
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line) as Mirrored)
      : [];
  };
  const requests = async () => (await net.seenWhenQuiet()).requests.length;

  test("case-75 programs see placeholders; no secret is in a file, an environment or the memory of a process that they can read", async () => {
    const patterns = Object.values(SECRETS).map(pattern).join("|");
    const { stdout } = await script(`env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'
      echo zq-control > /tmp/control
      echo "found in: $(grep -rlsE '[z]q-control|${patterns}' -D skip /etc /home /root /run /sandbox /srv /tmp /var | tr '\\n' ' ')"`);
    for (const key of Object.keys(SECRETS).filter((name) => name !== "BOT_TOKEN" && name !== "AWS_ACCESS_KEY_ID"))
      expect(stdout).toContain(`${key}=${P(key)}\n`);
    expect(stdout).toContain("AWS_ACCESS_KEY_ID=AKIA-OPENSHELL-RESOLVE-ENV-AWS_ACCESS_KEY_ID\n");
    expect(stdout).toContain("BOT_TOKEN=tg-OPENSHELL-RESOLVE-ENV-BOT_TOKEN\n");
    expect(stdout).toContain("found in: /tmp/control \n");
    expect(stdout).not.toContain("HOST_TOKEN");
  });

  test.each(["--http1.1", "--http2"])(
    "case-76 case-79 by curl %s the server gets the secret in every slot; program and log never see it",
    async (version) => {
      const before = mirrored().length;
      const { stdout, stderr } = await script(`
      alias curl="curl ${version}"
      curl -sSi --max-time 20 -H "Authorization: Bearer $TOKEN" https://mirror.example.com/bearer
      curl -sSi --max-time 20 -u "someone:$TOKEN" https://mirror.example.com/basic
      curl -sSi --max-time 20 -H "X-Api-Key: $API_KEY" https://mirror.example.com/field
      curl -sSi --max-time 20 -G --data-urlencode "key=$QUERY_KEY" https://mirror.example.com/query
      curl -sSi --max-time 20 https://mirror.example.com/bot$BOT_TOKEN/getMe
      curl -sSi --max-time 20 -H "Content-Type: application/json" -d "{\\"token\\": \\"$TOKEN\\"}" https://mirror.example.com/json
      curl -sSi --max-time 20 -d "token=$TOKEN" https://mirror.example.com/form
      curl -sSi --max-time 20 -H "Authorization: Bearer $TOKEN" https://mirror.example.com/chunked`);
      const [bearer, basic, field, query, path, json, form, chunked] = mirrored().slice(before);
      expect(bearer?.headers["authorization"]).toBe(`Bearer ${SECRETS.TOKEN}`);
      expect(basic?.headers["authorization"]).toBe(`Basic ${Buffer.from(`someone:${SECRETS.TOKEN}`).toString("base64")}`);
      expect(field?.headers["x-api-key"]).toBe(SECRETS.API_KEY);
      expect(query?.url).toBe("/query?key=AIza%2Bslash%2Fequals%3DQ9");
      expect(path?.url).toBe(`/bot${SECRETS.BOT_TOKEN}/getMe`);
      expect(json?.body).toBe(`{"token": "${SECRETS.TOKEN}"}`);
      expect(form?.body).toBe(`token=${SECRETS.TOKEN}`);
      expect(chunked?.headers["accept-encoding"]).toBe("identity");
      expect(stdout.match(/^HTTP\/(1.1 200 OK|2 200)/gm)).toHaveLength(8);
      // threat-13: encoded and cut, none of it comes back.
      for (const secret of Object.values(SECRETS)) {
        for (const spelling of [
          encodeURIComponent(secret),
          Buffer.from(secret).toString("hex"),
          Buffer.from(secret).toString("base64").slice(0, -4),
        ])
          expect(stdout).not.toContain(spelling);
        expect(stdout.toLowerCase()).not.toContain(`x-front: ${secret.slice(0, secret.length / 2)}`.toLowerCase());
      }
      expect(stdout).toMatch(/token="\*{12,}"/);
      expect(stderr).toContain("https://mirror.example.com/bot[CREDENTIAL]/getMe [policy:api engine:l7] [credentials:BOT_TOKEN]");
    },
  );

  test("case-77 case-78 threat-13 what may not be replaced is refused, and the server hears nothing", async () => {
    const before = await requests();
    const { stdout, stderr } = await script(`
      ask() { curl -sS --max-time 20 "$@"; }
      ask -H "Authorization: Bearer ${P("UNKNOWN")}" https://mirror.example.com/
      ask -H "X-Echo: $TOKEN" https://mirror.example.com/
      ask "https://mirror.example.com/?q=$TOKEN"
      ask "https://mirror.example.com/echo/$TOKEN"
      ask -H "Authorization: Bearer $TOKEN" https://other.example.com/
      ask -H "X-Api-Key: $API_KEY" http://mirror.example.com/
      ask -H "Content-Type: text/plain" -d "${P("UNKNOWN")}" https://mirror.example.com/
      ask -H "Content-Type: application/json" -H "Content-Encoding: gzip" -d "x" https://mirror.example.com/
      head -c 300000 /dev/zero | tr '\\0' a | ask -H "Content-Type: text/plain" --data-binary @- https://mirror.example.com/
      ask -X TRACE -H "Authorization: Bearer $TOKEN" https://mirror.example.com/
      ask -H "Authorization: Bearer $TOKEN" https://mirror.example.com/secret/x
      ask "https://mirror.example.com/hook/$SLASHED"`);
    const reasons = [...stdout.matchAll(/"reason":"(\w+)"/g)].map(([, reason]) => reason);
    expect(reasons).toEqual([
      "credential_unknown",
      "credential_misplaced",
      "credential_misplaced",
      "credential_misplaced",
      "credential_endpoint_mismatch",
      "credential_insecure",
      "credential_unknown",
      "credential_body",
      "credential_body",
      "trace",
      "request_denied",
      "credential_unusable",
    ]);
    expect(await requests()).toBe(before);
    expect(stderr).toMatch(/DENIED .*\/echo\/\[CREDENTIAL\] .*engine:credentials/);
  });

  test("an answer that cannot be masked as the policy says is not passed on", async () => {
    const { stdout } = await script(
      'curl -sS --max-time 20 -w "%{http_code}" -H "Authorization: Bearer $TOKEN" https://mirror.example.com/encoded',
    );
    expect(stdout).toContain("cannot be masked");
    expect(stdout).toEndWith("502");
  });

  test("heads are masked where bodies are not", async () => {
    const { stdout } = await net.runOnHost(
      [
        BINARY,
        "sandbox",
        "run",
        ...flags,
        "--",
        CURL,
        "-sSi",
        "-H",
        `X-Api-Key: ${P("API_KEY")}`,
        "--resolve",
        "mirror.example.com:443:1.2.3.4",
        "https://mirror.example.com/",
      ],
      { env: { HOST_TOKEN: SECRETS.TOKEN } },
    );
    expect(stdout.split("\r\n\r\n").slice(0, -1).join()).not.toContain(SECRETS.API_KEY);
  });

  test.each([
    ["s3", "PUT", "/bucket/a%20key?x=1&tagging", "UNSIGNED-PAYLOAD"],
    ["sqs", "POST", "/queue/one", undefined],
  ])("requests to AWS are signed again, and the server can verify them: %s", async (service, method, target, declared) => {
    const host = service === "s3" ? "api.example.com" : "other.example.com";
    const body = "Action=SendMessage&MessageBody=hello";
    const { stdout } =
      await script(`curl -sS --max-time 20 -X ${method} --aws-sigv4 aws:amz:eu-west-1:${service} --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \\
      ${declared === undefined ? "" : `-H "x-amz-content-sha256: ${declared}"`} -H "X-Extra: two  blanks" -d '${body}' 'https://${host}${target}'`);
    const { headers, bodyBytes } = JSON.parse(stdout) as { headers: Record<string, string>; bodyBytes: number };
    const [, date = "", names = "", made] =
      /Credential=[^/]+\/(\d{8})\/eu-west-1\/\w+\/aws4_request, SignedHeaders=([^,]+), Signature=(\w+)$/.exec(
        headers["authorization"] ?? "",
      ) ?? [];
    const [path = "", query] = target.split("?");
    const signed = names.split(";").map((lower) => ({ lower, value: headers[lower] ?? "" }));
    const payload = declared ?? new Bun.CryptoHasher("sha256").update(body).digest("hex");
    const keys = { accessKeyId: SECRETS.AWS_ACCESS_KEY_ID, secretAccessKey: SECRETS.AWS_SECRET_ACCESS_KEY };
    const scope = { date, region: "eu-west-1", service };
    expect(made).toBe(signature({ method, path, query, fields: signed, payload }, keys, scope, headers["x-amz-date"] ?? ""));
    expect(bodyBytes).toBe(body.length);
  });

  test("case-80 threat-13 where requests would pass unread, no connection is made", async () => {
    const before = await requests();
    const { stdout, stderr } = await script(`
      curl -sS --max-time 20 https://skipped.example.com/ -w "%{http_connect}" -H "X-Api-Key: $SKIPPED"
      curl -sS --max-time 20 https://cdn.example.net/ -k -o /dev/null -w " %{http_code}"`);
    expect(stdout).toBe("403 200");
    expect(stderr).toMatch(/DENIED .* -> skipped\.example\.com:443 \[policy:api engine:credentials\]/);
    expect(await requests()).toBe(before + 1);
  });

  test.skipIf(GIT.length < 2)("git clones with a token that it does not know", async () => {
    mkdirSync(join(net.directory, "git"), { recursive: true });
    const work = join(net.directory, "seed");
    Bun.spawnSync(["git", "init", "-q", "--bare", "-b", "main", join(net.directory, "git", "project.git")]);
    Bun.spawnSync([
      "/bin/sh",
      "-ec",
      `git init -q -b main ${work}; cd ${work}; echo one > file; git add file; git -c user.name=a -c user.email=a@b.c commit -qm first; git push -q ../git/project.git main`,
    ]);
    const { stdout, stderr } = await script(
      'git clone -q "https://x-access-token:$GIT_TOKEN@private-git.example.com/project.git" work && cat work/file',
    );
    expect({ stdout, stderr: stdout === "one\n" ? "" : stderr }).toEqual({ stdout: "one\n", stderr: "" });
  });

  test.each(["--http1.1", "--http2"])(
    "case-77 threat-13 a placeholder in a body of a type in which none is replaced is refused: %s",
    async (version) => {
      const ask = `curl -sS ${version} --max-time 20 -o /dev/null -w '%{http_code} '`;
      const { stdout, stderr } = await script(`
      head -c 300000 /dev/zero > zeros
      ${ask} -F "token=$TOKEN" https://mirror.example.com/form
      (cat zeros; printf %s "$TOKEN"; cat zeros) | ${ask} -H Content-Type:application/octet-stream --data-binary @- https://mirror.example.com/binary
      ${ask} -F file=@zeros https://mirror.example.com/form`);
      expect(stdout).toBe("403 403 200 ");
      expect(stderr).toMatch(/DENIED .*mirror\.example\.com.*a placeholder stands in a body/);
    },
  );

  test("a server that speaks HTTP/2 gets it too", async () => {
    const { stdout } = await script(`curl -sS --http2 --max-time 20 -H "Authorization: Bearer $TOKEN" https://h2.example.com:9443/x`);
    expect(JSON.parse(stdout)).toMatchObject({ protocol: "h2", authorization: `Bearer ${"*".repeat(SECRETS.TOKEN.length)}` });
  });

  test.skipIf(NODE.length === 0)("messages of a WebSocket, in both directions", async () => {
    const built = await Bun.build({ entrypoints: [join(import.meta.dir, "websocket-client.ts")], target: "node", format: "esm" });
    mkdirSync(join(net.directory, "client"));
    writeFileSync(join(net.directory, "client", "client.mjs"), (await built.outputs[0]?.text()) ?? "");
    const mount = `${join(net.directory, "client")}:/client:ro`;
    const talk = async (path: string, message: string) => {
      const since = await requests();
      const argv = ["--mount", mount, "--", "/usr/bin/node", "/client/client.mjs", `wss://api.example.com${path}`];
      const options = { env: { HOST_TOKEN: SECRETS.TOKEN }, stdin: `${message}\n` };
      const { stdout, stderr } = await net.runOnHost([BINARY, "sandbox", "run", ...flags, ...argv], options);
      expect(`${stdout}${stderr}`).not.toContain(SECRETS.TOKEN);
      const heard = (await net.seenWhenQuiet()).requests.slice(since).map(({ method }) => method);
      return { said: stdout.trimEnd().split("\n"), heard, log: stderr };
    };
    expect(await talk("/socket", `{"auth":"${P("TOKEN")}"}`)).toMatchObject({
      said: ["open ", `got echo:{"auth":"${"*".repeat(SECRETS.TOKEN.length)}"}`, "close 1000 done"],
      heard: ["UPGRADE", `{"auth":"${SECRETS.TOKEN}"}`, "close 1000"],
    });
    const unknown = await talk("/socket", P("UNKNOWN"));
    expect(unknown).toMatchObject({
      said: ["open ", expect.stringMatching(/^close 1008 no credential UNKNOWN/)],
      heard: ["UPGRADE", "close 1008"],
    });
    expect(unknown.log).toMatch(/DENIED .*WEBSOCKET_TEXT/);
    const unread = await talk("/unread", "hello");
    expect(unread.said[0]).toMatch(/^refused 403 .*credential_upgrade/);
    expect(unread.heard).toEqual([]);
  });

  test.skipIf(NODE.length === 0)("node's fetch, which knows no proxy", async () => {
    const before = mirrored().length;
    const program = `fetch("https://mirror.example.com/node", { headers: { "x-api-key": process.env.API_KEY } })
      .then(async (answer) => console.log(answer.status, await answer.text()))`;
    const { stdout } = await run("/usr/bin/node", "-e", program);
    expect(stdout).toStartWith("200 ");
    const keys = mirrored()
      .slice(before)
      .map(({ headers }) => headers["x-api-key"]);
    expect(keys).toEqual([SECRETS.API_KEY]);
  });
});
