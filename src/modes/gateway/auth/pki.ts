import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Extension, JsonGeneralName, X509Certificate } from "@peculiar/x509";
import { writeFileAtomically } from "../files.ts";
import x509 from "./x509-library.ts";

/** The gateway's own certificates, PEM. */
export interface Pki {
  readonly caCertificate: string;
  readonly serverCertificate: string;
  readonly serverKey: string;
  readonly clientCertificate: string;
  readonly clientKey: string;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** Ten years: a private authority of one machine, replaced by deleting the directory. */
const CA_LIFETIME_MS = 10 * 365 * 86_400_000;
/** 825 days is the longest leaf that every client accepts. */
const LEAF_LIFETIME_MS = 825 * 86_400_000;
/** A leaf is made anew on start when it has less than this left. */
const RENEW_BEFORE_MS = 60 * 86_400_000;
/** Clocks of containers and hosts may differ a little. */
const BACKDATE_MS = 3_600_000;

/** Names and addresses under which supervisors and clients reach a local gateway. */
export const SERVER_NAMES = ["localhost", "host.openshell.internal", "gateway.openshell.internal"] as const;
const SERVER_ADDRESSES = ["127.0.0.1", "::1"] as const;

/** The organisational unit that opens `operator` methods. */
export const OPERATOR_UNIT = "operator";

const FILES = {
  caKey: "ca.key",
  ca: "ca.crt",
  serverKey: "server.key",
  server: "server.crt",
  clientKey: "client.key",
  client: "client.crt",
};

/**
 * Reads the certificates under `directory` and makes what is missing or about to expire: an authority, a server leaf and the operator's
 * client leaf (CN `<user>@<host>`). Keys are 0600 in a 0700 directory.
 */
export async function openPki(directory: string, now: number = Date.now(), extraNames: readonly string[] = []): Promise<Pki> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = (name: keyof typeof FILES): string => join(directory, FILES[name]);
  if (!existsSync(path("ca")) || !existsSync(path("caKey"))) await createAuthority(path("ca"), path("caKey"), now);
  const authority = await readAuthority(path("ca"), path("caKey"));
  if (!(await isCurrent(path("server"), path("serverKey"), authority, now, extraNames))) {
    const names: JsonGeneralName[] = [
      ...[...SERVER_NAMES, ...extraNames.filter((name) => !isAddress(name))].map((value) => ({ type: "dns" as const, value })),
      ...[...SERVER_ADDRESSES, ...extraNames.filter(isAddress)].map((value) => ({ type: "ip" as const, value })),
    ];
    await createLeaf(
      authority,
      "CN=openshell gateway",
      now,
      [new x509.SubjectAlternativeNameExtension(names), usage("serverAuth")],
      path("server"),
      path("serverKey"),
    );
  }
  if (!(await isCurrent(path("client"), path("clientKey"), authority, now))) {
    const subject = new x509.Name([{ CN: [`${accountName()}@${hostname()}`] }, { OU: [OPERATOR_UNIT] }]).toString();
    await createLeaf(authority, subject, now, [usage("clientAuth")], path("client"), path("clientKey"));
  }
  const read = (name: keyof typeof FILES): string => readFileSync(path(name), "utf8");
  return {
    caCertificate: read("ca"),
    serverCertificate: read("server"),
    serverKey: read("serverKey"),
    clientCertificate: read("client"),
    clientKey: read("clientKey"),
  };
}

interface Authority {
  readonly certificate: X509Certificate;
  readonly key: CryptoKey;
}

async function createAuthority(certificateFile: string, keyFile: string, now: number): Promise<void> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: "CN=openshell local authority",
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(now + CA_LIFETIME_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  writeFileAtomically(keyFile, await privatePem(keys.privateKey), 0o600);
  writeFileAtomically(certificateFile, certificate.toString("pem"), 0o644);
}

async function readAuthority(certificateFile: string, keyFile: string): Promise<Authority> {
  const key = await crypto.subtle.importKey("pkcs8", x509.PemConverter.decodeFirst(readFileSync(keyFile, "utf8")), ALGORITHM, false, [
    "sign",
  ]);
  return { certificate: new x509.X509Certificate(readFileSync(certificateFile, "utf8")), key };
}

async function createLeaf(
  authority: Authority,
  subject: string,
  now: number,
  extensions: Extension[],
  certificateFile: string,
  keyFile: string,
): Promise<void> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject,
    issuer: authority.certificate.subject,
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(now + LEAF_LIFETIME_MS),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: authority.key,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      await x509.AuthorityKeyIdentifierExtension.create(authority.certificate.publicKey),
      ...extensions,
    ],
  });
  writeFileAtomically(keyFile, await privatePem(keys.privateKey), 0o600);
  writeFileAtomically(certificateFile, certificate.toString("pem"), 0o644);
}

/** False for a leaf that is missing, near its end, of another authority, or without one of the names. */
async function isCurrent(
  file: string,
  keyFile: string,
  authority: Authority,
  now: number,
  names: readonly string[] = [],
): Promise<boolean> {
  if (!existsSync(file) || !existsSync(keyFile)) return false;
  const leaf = new x509.X509Certificate(readFileSync(file, "utf8"));
  if (leaf.notAfter.getTime() - now < RENEW_BEFORE_MS || leaf.issuer !== authority.certificate.subject) return false;
  // Every authority of ours has one name: an earlier one that was lost signed what nobody trusts any more.
  if (!(await leaf.verify({ publicKey: authority.certificate.publicKey, signatureOnly: true }))) return false;
  const declared = leaf.getExtension(x509.SubjectAlternativeNameExtension)?.names.items.map((item) => item.value) ?? [];
  return names.every((name) => declared.includes(name));
}

function usage(kind: "serverAuth" | "clientAuth"): Extension {
  return new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage[kind]]);
}

async function privatePem(key: CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY");
}

/** This process's account by /etc/passwd; the environment may say anything. */
function accountName(): string {
  const uid = String(process.getuid?.());
  const entry = existsSync("/etc/passwd")
    ? readFileSync("/etc/passwd", "utf8")
        .split("\n")
        .find((line) => line.split(":")[2] === uid)
    : undefined;
  return entry?.split(":")[0] || `uid-${uid}`;
}

/** 16 random bytes, positive as DER wants it. */
function serial(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return Buffer.from(bytes).toString("hex");
}

function isAddress(name: string): boolean {
  return name.includes(":") || /^\d+(\.\d+){3}$/.test(name);
}
