import { createHash, type KeyObject, randomBytes, sign } from "node:crypto";
import { isIP } from "node:net";
import { bits, identifier, implicit, integer, octets, sequence, set, TRUE, tagged, text, time } from "./der.ts";

const ECDSA_WITH_SHA256 = sequence(identifier("1.2.840.10045.4.3.2"));
const COMMON_NAME = "2.5.4.3";
const ORGANISATION = "2.5.4.10";
/** X.520: what fits into a common name; longer hosts are in the alternative name alone. */
const MAX_COMMON_NAME = 64;

const DAY = 86_400_000;
/** Clocks inside and outside differ little, those of images sometimes do. */
const BACKDATE = DAY;
const CA_LIFE = 3650 * DAY;
/** Clients may refuse leaves that live longer than 825 days. */
export const LEAF_LIFE: number = 730 * DAY;

export interface IssuerKeys {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/** Subject of the authority in every sandbox; RFC 4514 spelling. */
export const CA_SUBJECT = "O=OpenShell,CN=OpenShell Sandbox CA";

const caName = sequence(attribute(ORGANISATION, "OpenShell"), attribute(COMMON_NAME, "OpenShell Sandbox CA"));

/** A self-signed authority (RFC 5280 section 4) that may sign leaves only. DER. */
export function authorityCertificate(keys: IssuerKeys, now: number): Buffer {
  const extensions = [
    extension("2.5.29.19", TRUE, sequence(TRUE, integer(Buffer.of(0)))),
    extension("2.5.29.15", TRUE, bits(Buffer.of(0b0000_0110), 1)), // keyCertSign, cRLSign
    extension("2.5.29.14", undefined, octets(keyId(keys.publicKey))),
  ];
  return certificate(caName, keys.publicKey, keys.privateKey, [now - BACKDATE, now + CA_LIFE], extensions);
}

/** A server certificate for one host: a name, or an address. DER. */
export function leafCertificate(host: string, publicKey: KeyObject, issuer: IssuerKeys, now: number): Buffer {
  const subject = host.length <= MAX_COMMON_NAME ? sequence(attribute(COMMON_NAME, host)) : sequence();
  const alternative = isIP(host) === 0 ? implicit(2, Buffer.from(host)) : implicit(7, addressBytes(host));
  const extensions = [
    extension("2.5.29.19", TRUE, sequence()),
    extension("2.5.29.15", TRUE, bits(Buffer.of(0b1000_0000), 7)), // digitalSignature
    extension("2.5.29.37", undefined, sequence(identifier("1.3.6.1.5.5.7.3.1"))), // serverAuth
    extension("2.5.29.17", subject.length > 2 ? undefined : TRUE, sequence(alternative)),
    extension("2.5.29.14", undefined, octets(keyId(publicKey))),
    extension("2.5.29.35", undefined, sequence(implicit(0, keyId(issuer.publicKey)))),
  ];
  return certificate(subject, publicKey, issuer.privateKey, [now - BACKDATE, now + LEAF_LIFE], extensions);
}

/** PEM of DER. */
export function pem(der: Uint8Array): string {
  const lines = Buffer.from(der)
    .toString("base64")
    .match(/.{1,64}/g);
  return `-----BEGIN CERTIFICATE-----\n${(lines ?? []).join("\n")}\n-----END CERTIFICATE-----\n`;
}

function certificate(
  subject: Buffer,
  publicKey: KeyObject,
  signer: KeyObject,
  [from, to]: readonly [number, number],
  extensions: readonly Buffer[],
): Buffer {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const tbs = sequence(
    tagged(0, integer(Buffer.of(2))), // version 3
    integer(serial),
    ECDSA_WITH_SHA256,
    caName,
    sequence(time(from), time(to)),
    subject,
    publicKey.export({ type: "spki", format: "der" }),
    tagged(3, sequence(...extensions)),
  );
  return sequence(tbs, ECDSA_WITH_SHA256, bits(sign("sha256", tbs, signer)));
}

function attribute(type: string, characters: string): Buffer {
  return set(sequence(identifier(type), text(characters)));
}

function extension(type: string, critical: Buffer | undefined, contents: Buffer): Buffer {
  return sequence(identifier(type), ...(critical === undefined ? [] : [critical]), octets(contents));
}

/** RFC 5280 section 4.2.1.2, method 1: SHA-1 of the public key's bits; a name for the key, not a protection. */
function keyId(key: KeyObject): Buffer {
  const { x = "", y = "" } = key.export({ format: "jwk" });
  const point = Buffer.concat([Buffer.of(4), Buffer.from(x, "base64url"), Buffer.from(y, "base64url")]);
  return createHash("sha1").update(point).digest();
}

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split(".").map(Number));
  const [head = "", tail = ""] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16)));
  const [first, last] = [groups(head), groups(tail)];
  const all = [...first, ...new Array<number>(8 - first.length - last.length).fill(0), ...last];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}
