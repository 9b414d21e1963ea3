/** A certificate authority that exists for one test: a leaf for any name that a client asks for. */
import "reflect-metadata"; // the X.509 library is unusable without it and does not load it itself
import { createSecureContext, type SecureContext } from "node:tls";
import * as x509 from "@peculiar/x509";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY = 24 * 60 * 60 * 1000;

function validity(): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(Date.now() - DAY), notAfter: new Date(Date.now() + 30 * DAY) };
}

async function pem(key: CryptoKey): Promise<string> {
  const der = await crypto.subtle.exportKey("pkcs8", key);
  return x509.PemConverter.encode(der, "PRIVATE KEY");
}

export class TestCa {
  readonly certificate: string;
  readonly #issuer: x509.X509Certificate;
  readonly #keys: CryptoKeyPair;
  readonly #contexts = new Map<string, Promise<SecureContext>>();

  private constructor(issuer: x509.X509Certificate, keys: CryptoKeyPair) {
    this.#issuer = issuer;
    this.#keys = keys;
    this.certificate = issuer.toString("pem");
  }

  static async create(): Promise<TestCa> {
    const keys = (await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])) as CryptoKeyPair;
    const issuer = await x509.X509CertificateGenerator.createSelfSigned({
      name: "CN=Test internet CA",
      ...validity(),
      keys,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      ],
    });
    return new TestCa(issuer, keys);
  }

  /** TLS context with a certificate for `name` (a DNS name or an address), made on first use. */
  context(name: string): Promise<SecureContext> {
    let made = this.#contexts.get(name);
    if (made === undefined) {
      made = this.leaf(name).then(createSecureContext);
      this.#contexts.set(name, made);
    }
    return made;
  }

  /** Key and certificate for `name`, as PEM. */
  async leaf(name: string): Promise<{ readonly key: string; readonly cert: string }> {
    const keys = (await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])) as CryptoKeyPair;
    const leaf = await x509.X509CertificateGenerator.create({
      subject: `CN=${name}`,
      issuer: this.#issuer.subject,
      ...validity(),
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.SubjectAlternativeNameExtension([{ type: /^[\d.]+$|:/.test(name) ? "ip" : "dns", value: name }]),
        await x509.AuthorityKeyIdentifierExtension.create(this.#issuer),
      ],
    });
    return { key: await pem(keys.privateKey), cert: leaf.toString("pem") };
  }
}
