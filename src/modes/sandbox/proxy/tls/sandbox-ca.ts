import { generateKeyPairSync } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import { authorityCertificate, type IssuerKeys, LEAF_LIFE, leafCertificate, pem } from "./certificate.ts";

/** Hosts whose certificate is kept, the least recently used leaves first: about 6 KB each, and 0.2 ms to make again. */
export const MAX_LEAVES = 256;

interface Leaf {
  readonly context: SecureContext;
  readonly madeAt: number;
}

/**
 * The certificate authority of one sandbox. Its key exists in the memory of one supervisor and nowhere else, so what trusts it trusts
 * this supervisor alone, and only until it ends.
 */
export class SandboxCa {
  /** The authority's certificate, PEM. */
  readonly certificate: string;
  readonly #keys: IssuerKeys;
  readonly #leaves = new Map<string, Leaf>();

  constructor(now: number = Date.now()) {
    this.#keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.certificate = pem(authorityCertificate(this.#keys, now));
  }

  /** Leaves that are kept. */
  get leaves(): number {
    return this.#leaves.size;
  }

  /** What a TLS server for `host` (canonical spelling) answers with. Made at once, so that two askers never make two. */
  context(host: string, now: number = Date.now()): SecureContext {
    const known = this.#leaves.get(host);
    this.#leaves.delete(host);
    const leaf = known !== undefined && now - known.madeAt < LEAF_LIFE / 2 ? known : this.#make(host, now);
    this.#leaves.set(host, leaf);
    if (this.#leaves.size > MAX_LEAVES) this.#leaves.delete(this.#leaves.keys().next().value ?? host);
    return leaf.context;
  }

  #make(host: string, now: number): Leaf {
    const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const certificate = pem(leafCertificate(host, keys.publicKey, this.#keys, now));
    const key = keys.privateKey.export({ type: "pkcs8", format: "pem" });
    return { context: createSecureContext({ key, cert: certificate + this.certificate }), madeAt: now };
  }
}
