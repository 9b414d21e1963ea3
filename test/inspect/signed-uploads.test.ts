/** Uploads to S3 in chunks: what the server gets, it can verify with the real keys, chunk by chunk. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { scopeText, sha256, signature, signingKey } from "../../src/modes/sandbox/credentials/sigv4.ts";
import { installed, missingFor, pathOf } from "../clients/inside.ts";
import { BINARY } from "../e2e/installation.ts";
import { type Finished, openTestInternet, type TestInternet } from "../internet/open.ts";
import type { Mirrored } from "../internet/servers/mirror.ts";

const curl = installed("curl", "/usr/bin/curl");
const missing = missingFor("uploads in signed chunks", curl);

const KEYS = { accessKeyId: "AKIAREALREALREAL1234", secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYREALKEY" };
const CREDENTIALS = `version: 1
credentials:
  AWS_ACCESS_KEY_ID: { value: ${KEYS.accessKeyId}, provider: aws }
  AWS_SECRET_ACCESS_KEY: { value: ${KEYS.secretAccessKey}, provider: aws }
`;
const policy = () => `version: 1
network_policies:
  api:
    endpoints:
      - { host: bucket.example.com, port: 443, protocol: rest, access: full, enforcement: enforce, credential_signing: sigv4, signing_service: s3, mask_responses: true }
    binaries: [{ path: ${pathOf(curl)} }]
`;
const FALSE = "0".repeat(64);
const CHUNKS = [65_536, 65_536, 5, 0];
const SIGNED = CHUNKS.map((size) => `${size.toString(16)};chunk-signature=${FALSE}\r\n${"z".repeat(size)}${size > 0 ? "\r\n" : ""}`).join(
  "",
);
const UNSIGNED = CHUNKS.map((size) => `${size.toString(16)}\r\n${"z".repeat(size)}${size > 0 ? "\r\n" : ""}`).join("");
const CHECKSUM = "x-amz-checksum-crc32c:sOO8/Q==";
const KINDS = [
  { name: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", body: `${SIGNED}\r\n` },
  { name: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", body: `${SIGNED}${CHECKSUM}\r\nx-amz-trailer-signature:${FALSE}\r\n\r\n` },
  { name: "STREAMING-UNSIGNED-PAYLOAD-TRAILER", body: `${UNSIGNED}${CHECKSUM}\r\n\r\n` },
];

/** Checks every signature as the server would, by what it got alone; gives the body without them. */
function verified({ method, url, headers, body }: Mirrored): string {
  const [, date = "", region = "", names = "", made = ""] =
    /Credential=[^/]+\/(\d{8})\/([\w-]+)\/s3\/aws4_request, SignedHeaders=([^,]+), Signature=(\w+)$/.exec(headers["authorization"] ?? "") ??
    [];
  const scope = { date, region, service: "s3" };
  const timestamp = headers["x-amz-date"] ?? "";
  const payload = headers["x-amz-content-sha256"] ?? "";
  const fields = names.split(";").map((lower) => ({ lower, value: headers[lower] ?? "" }));
  expect(made).toBe(signature({ method, path: url, query: undefined, fields, payload }, KEYS, scope, timestamp));
  const key = signingKey(KEYS, scope);
  let previous = made;
  const next = (kind: string, ...hashes: readonly string[]) => {
    const text = [`AWS4-HMAC-SHA256-${kind}`, timestamp, scopeText(scope), previous, ...hashes].join("\n");
    previous = createHmac("sha256", key).update(text).digest("hex");
    return previous;
  };
  let at = 0;
  let plain = "";
  for (const size of payload.startsWith("STREAMING-AWS4") ? CHUNKS : []) {
    const [line = "", digits = "", signed] = /^([0-9a-f]+);chunk-signature=(\w{64})\r\n/.exec(body.slice(at)) ?? [];
    const data = body.slice(at + line.length, at + line.length + size);
    expect(Number.parseInt(digits, 16)).toBe(size);
    expect(signed).toBe(next("PAYLOAD", sha256(""), sha256(data)));
    plain += data;
    at += line.length + size + (size > 0 ? 2 : 0);
  }
  const trailer = /^x-amz-trailer-signature:(\w+)/m.exec(body)?.[1];
  if (trailer !== undefined) expect(trailer).toBe(next("TRAILER", sha256(`${CHECKSUM}\n`)));
  return plain;
}

describe.skipIf(missing !== undefined)("uploads in chunks", () => {
  let net: TestInternet;
  let upload: (kind: string, file: string, ...words: string[]) => Promise<Finished>;
  beforeAll(async () => {
    net = await openTestInternet();
    const place = (name: string, text: string, mode = 0o600) => {
      writeFileSync(join(net.directory, name), text, { mode });
      return join(net.directory, name);
    };
    const flags = ["--policy", place("policy.yaml", policy()), "--credentials", place("credentials.yaml", CREDENTIALS)];
    upload = async (kind, body, ...words) => {
      const mount = ["--mount", `${place("body", body, 0o644)}:/body`];
      const command = `curl -sS --max-time 60 -w '\\n%{http_code}' -X PUT ${words.join(" ")} --aws-sigv4 aws:amz:eu-west-1:s3 \\
        --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" -H "x-amz-content-sha256: ${kind}" -H "Content-Encoding: aws-chunked" \\
        -H "x-amz-decoded-content-length: ${CHUNKS.reduce((all, size) => all + size)}" --data-binary @/body https://bucket.example.com/key`;
      const finished = await net.runOnHost([BINARY, "sandbox", "run", ...flags, ...mount, "--", "/bin/sh", "-c", command]);
      for (const secret of Object.values(KEYS)) expect(`${finished.stdout}${finished.stderr}`).not.toContain(secret);
      return finished;
    };
  });
  afterAll(() => net?.[Symbol.asyncDispose]());

  const mirrored = (): Mirrored[] => {
    const file = join(net.directory, "mirror.jsonl");
    if (!existsSync(file)) return [];
    return readFileSync(file, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Mirrored);
  };

  for (const { name, body } of KINDS) {
    test.each(["--http1.1", "--http1.1 -H Transfer-Encoding:chunked", "--http2"])(`${name} by curl %s`, async (words) => {
      const before = mirrored().length;
      const { stdout, stderr } = await upload(name, body, words);
      const got = mirrored().at(before);
      expect({ status: stdout.slice(-3), stderr: got === undefined ? stderr : "" }).toEqual({ status: "200", stderr: "" });
      if (got === undefined) return;
      expect(got.headers["x-amz-content-sha256"]).toBe(name);
      expect(got.headers["content-length"]).toBe(words.includes("chunked") ? undefined : String(body.length));
      expect(got.body.replace(/[0-9a-f]{64}/g, FALSE)).toBe(body);
      if (name.includes("AWS4")) {
        expect(got.body).not.toContain(FALSE);
        expect(verified(got)).toBe("z".repeat(131_077));
      } else verified(got);
    });
  }

  test.each(["--http1.1", "--http2"])("a body that is none is refused in the middle, with the reason: %s", async (version) => {
    const before = mirrored().length;
    const { stdout, stderr } = await upload("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", `${SIGNED.slice(0, 70_000)}${"!".repeat(9000)}`, version);
    expect(stdout).toMatch(/"detail":"the body in signed chunks cannot be signed again: [^"]+".*\n400$/s);
    expect(stderr).toMatch(/DENIED .*cannot be signed again/);
    expect(mirrored().length).toBe(before);
  });
});
