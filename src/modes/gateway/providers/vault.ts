import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";
import { closeSync, constants, existsSync, fchmodSync, fstatSync, openSync, readFileSync } from "node:fs";
import { OpenShellError } from "../../../error.ts";
import { writeFileAtomically } from "../files.ts";

/** Encrypts what the store keeps of secrets. The key is a file beside the store, so that a copy of the database alone tells nothing. */
export interface Vault {
  /** `owner`: what the ciphertext belongs to; it opens for the same owner alone, so that rows cannot be exchanged. */
  seal(plain: Uint8Array, owner: string): Uint8Array;
  /** Throws `failed_precondition` when it was sealed under another key or for another owner, or was changed. */
  open(sealed: Uint8Array, owner: string): Uint8Array;
  /** Names bytes that may hold a secret, in hex: equal for equal bytes, and no help in guessing them without the key. */
  digest(bytes: Uint8Array): string;
}

const CIPHER = "aes-256-gcm";
const KEY_BYTES = 32;
/** 96 bits, what GCM is made for; random, far below 2^32 uses of one key. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** First byte of every ciphertext, so that another cipher can follow. */
const FORMAT = 1;

/**
 * Opens, or makes when nothing is sealed yet, the key file (0600).
 * @param inUse whether the store holds secrets that an existing key sealed: then a missing key is an error, not a new key.
 */
export function openVault(file: string, inUse: boolean): Vault {
  if (!existsSync(file)) {
    if (inUse) {
      throw new OpenShellError(
        "failed_precondition",
        `the key file ${file} is missing, and the store holds provider secrets sealed with it`,
        {
          next: "restore the file from a backup; without it these secrets are lost: remove them by sqlite3 openshell.db 'DELETE FROM providers'",
        },
      );
    }
    writeFileAtomically(file, `${randomBytes(KEY_BYTES).toString("base64")}\n`, 0o600);
  }
  return vaultWith(readKey(file));
}

/** The vault of one key of 32 bytes. */
export function vaultWith(key: Uint8Array): Vault {
  // A key of its own: one key serves one purpose.
  const digestKey = createHmac("sha256", key).update("digest").digest();
  return {
    digest: (bytes) => createHmac("sha256", digestKey).update(bytes).digest("hex"),
    seal(plain, owner) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(Buffer.from(owner));
      const body = Buffer.concat([cipher.update(plain), cipher.final()]);
      return Buffer.concat([Buffer.of(FORMAT), nonce, cipher.getAuthTag(), body]);
    },
    open(sealed, owner) {
      const bytes = Buffer.from(sealed);
      const tagAt = 1 + NONCE_BYTES;
      const bodyAt = tagAt + TAG_BYTES;
      try {
        if (bytes[0] !== FORMAT || bytes.length < bodyAt) throw new TypeError("not a ciphertext of this gateway");
        const decipher = createDecipheriv(CIPHER, key, bytes.subarray(1, tagAt), { authTagLength: TAG_BYTES });
        decipher.setAAD(Buffer.from(owner));
        decipher.setAuthTag(bytes.subarray(tagAt, bodyAt));
        return Buffer.concat([decipher.update(bytes.subarray(bodyAt)), decipher.final()]);
      } catch (cause) {
        throw new OpenShellError("failed_precondition", "a provider's secrets cannot be decrypted: the key file or the store was changed", {
          next: "restore the key file that belongs to this store, or delete the provider and create it again",
          cause,
        });
      }
    },
  };
}

/** The key is private: a file that others could read is made private, and one that is no key is refused. */
function readKey(file: string): Buffer {
  const fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    if ((fstatSync(fd).mode & 0o077) !== 0) fchmodSync(fd, 0o600);
    const key = Buffer.from(readFileSync(fd, "utf8").trim(), "base64");
    if (key.length === KEY_BYTES) return key;
  } finally {
    closeSync(fd);
  }
  throw new OpenShellError("failed_precondition", `${file} is not a key of ${KEY_BYTES} bytes in base64`, {
    next: "restore the file from a backup",
  });
}
