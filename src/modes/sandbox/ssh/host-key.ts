import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";

/** A key by which one start of a supervisor is known to SSH clients. It never leaves the process. */
export interface HostKey {
  /** Private key in OpenSSH's own format, the one that the server library reads. */
  readonly privateKey: string;
  /** `SHA256:` and unpadded base64, as ssh-keygen prints it. */
  readonly fingerprint: string;
}

const ALGORITHM = "ssh-ed25519";
/** Raw Ed25519 keys are the last 32 bytes of their DER forms. */
const KEY_BYTES = 32;
/** The unencrypted private part is padded to this, the block size of the cipher "none" (PROTOCOL.key of OpenSSH). */
const BLOCK = 8;
const LINE = 70;

/** Makes a new Ed25519 host key. Done here rather than by the SSH library, which is loaded only when somebody enters. */
export function newHostKey(): HostKey {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const open = publicKey.export({ type: "spki", format: "der" }).subarray(-KEY_BYTES);
  const secret = privateKey.export({ type: "pkcs8", format: "der" }).subarray(-KEY_BYTES);
  const blob = Buffer.concat([field(ALGORITHM), field(open)]);
  const check = randomBytes(4);
  const inner = Buffer.concat([check, check, blob, field(Buffer.concat([secret, open])), field("")]);
  const padding = Buffer.from(Array.from({ length: (BLOCK - (inner.length % BLOCK)) % BLOCK }, (_, index) => index + 1));
  const document = Buffer.concat([
    Buffer.from("openssh-key-v1\0"),
    field("none"),
    field("none"),
    field(""),
    Buffer.from([0, 0, 0, 1]),
    field(blob),
    field(Buffer.concat([inner, padding])),
  ]);
  const lines = document.toString("base64").match(new RegExp(`.{1,${LINE}}`, "g")) ?? [];
  return {
    privateKey: ["-----BEGIN OPENSSH PRIVATE KEY-----", ...lines, "-----END OPENSSH PRIVATE KEY-----", ""].join("\n"),
    fingerprint: `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`,
  };
}

/** A string of the SSH wire format: its length, then its bytes (RFC 4251, section 5). */
function field(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
