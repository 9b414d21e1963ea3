import { expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPki } from "./pki.ts";

test("what is there is kept; with an authority that is made anew everything is, and fits together", async () => {
  const directory = mkdtempSync(join(tmpdir(), "pki-"));
  try {
    const first = await openPki(directory);
    expect(await openPki(directory)).toEqual(first);
    rmSync(join(directory, "ca.key"));
    const second = await openPki(directory);
    const authority = new X509Certificate(second.caCertificate);
    for (const leaf of [second.serverCertificate, second.clientCertificate])
      expect(new X509Certificate(leaf).verify(authority.publicKey)).toBe(true);
    expect(second.caCertificate).not.toBe(first.caCertificate);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
