import "reflect-metadata"; // the X.509 library asks for it before it is loaded
import * as x509 from "@peculiar/x509";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;

interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** For tests: a certificate authority that signs certificates for 127.0.0.1. */
export interface Authority {
  readonly ca: string;
  issue(commonName: string): Promise<Pair>;
}

/** Makes one, with its own key. */
export async function testAuthority(name: string): Promise<Authority> {
  const times = { notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + DAY_MS) };
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    ...times,
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [new x509.BasicConstraintsExtension(true, 0, true), new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true)],
  });
  return {
    ca: root.toString("pem"),
    async issue(commonName) {
      const own = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
      const leaf = await x509.X509CertificateGenerator.create({
        subject: `CN=${commonName}`,
        issuer: root.subject,
        ...times,
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: ALGORITHM,
        extensions: [new x509.SubjectAlternativeNameExtension([{ type: "ip", value: "127.0.0.1" }])],
      });
      const der = await crypto.subtle.exportKey("pkcs8", own.privateKey);
      return { cert: leaf.toString("pem"), key: x509.PemConverter.encode(der, "PRIVATE KEY") };
    },
  };
}
