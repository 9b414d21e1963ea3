import "reflect-metadata";
import { expect, test } from "bun:test";
import { createServer, isIP } from "node:net";
import { checkServerIdentity, connect, TLSSocket } from "node:tls";
import * as x509 from "@peculiar/x509";
import { CA_SUBJECT } from "./certificate.ts";
import { MAX_LEAVES, SandboxCa } from "./sandbox-ca.ts";

/** The certificate that a real TLS client gets and verifies for `host`. */
async function verified(ca: SandboxCa, host: string): Promise<x509.X509Certificate> {
  const server = createServer((socket) => {
    new TLSSocket(socket, { isServer: true, secureContext: ca.context(host) }).on("error", () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  try {
    return await new Promise((resolve, reject) => {
      const name = isIP(host) === 0 ? { servername: host } : {};
      const check = (_: string, certificate: Parameters<typeof checkServerIdentity>[1]) => checkServerIdentity(host, certificate);
      const socket = connect({ host: "127.0.0.1", port, ...name, ca: ca.certificate, checkServerIdentity: check }, () => {
        resolve(new x509.X509Certificate(socket.getPeerCertificate().raw));
        socket.destroy();
      });
      socket.on("error", reject);
    });
  } finally {
    server.close();
  }
}

test("the authority may sign leaves and nothing else", () => {
  const authority = new x509.X509Certificate(new SandboxCa().certificate);
  expect(authority.subject.split(", ").sort()).toEqual(CA_SUBJECT.split(",").sort());
  expect(authority.getExtension(x509.BasicConstraintsExtension)).toMatchObject({ ca: true, pathLength: 0, critical: true });
  expect(authority.getExtension(x509.KeyUsagesExtension)?.usages).toBe(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign);
});

test("a client that trusts the authority accepts its leaves, by name", async () => {
  const leaf = await verified(new SandboxCa(), "api.example.com");
  expect(leaf.subject).toBe("CN=api.example.com");
  expect(leaf.getExtension(x509.SubjectAlternativeNameExtension)?.names.toJSON()).toEqual([{ type: "dns", value: "api.example.com" }]);
  expect(leaf.getExtension(x509.BasicConstraintsExtension)).toMatchObject({ ca: false });
  expect(leaf.getExtension(x509.ExtendedKeyUsageExtension)?.usages).toEqual([x509.ExtendedKeyUsage.serverAuth]);
});

test("a host longer than a common name is in the alternative name alone", async () => {
  const host = `${"a".repeat(60)}.${"b".repeat(60)}.example.com`;
  const leaf = await verified(new SandboxCa(), host);
  expect(leaf.subject).toBe("");
  expect(leaf.getExtension(x509.SubjectAlternativeNameExtension)?.critical).toBe(true);
});

test("addresses are addresses in the certificate", async () => {
  for (const address of ["10.1.2.3", "2606:2800::1", "::1", "fd00:1:2:3:4:5:6:7"]) {
    const leaf = await verified(new SandboxCa(), address);
    const names = leaf.getExtension(x509.SubjectAlternativeNameExtension)?.names.toJSON();
    expect(names).toEqual([{ type: "ip", value: expect.any(String) }]);
  }
});

test("two sandboxes do not trust each other", async () => {
  const [one, other] = [new SandboxCa(), new SandboxCa()];
  expect(
    verified({ context: (host: string) => one.context(host), certificate: other.certificate } as SandboxCa, "a.example"),
  ).rejects.toThrow();
});

test("a leaf is made once, at most so many are kept, and an old one is made anew", () => {
  const ca = new SandboxCa();
  const first = ca.context("a.example");
  expect(ca.context("a.example")).toBe(first);
  for (let i = 0; i < MAX_LEAVES - 1; i++) ca.context(`h${i}.example`);
  expect(ca.context("a.example")).toBe(first);
  for (let i = 0; i < MAX_LEAVES; i++) ca.context(`more${i}.example`);
  expect(ca.leaves).toBe(MAX_LEAVES);
  expect(ca.context("a.example")).not.toBe(first);
  const before = ca.context("a.example");
  expect(ca.context("a.example", Date.now() + 400 * 86_400_000)).not.toBe(before);
});
