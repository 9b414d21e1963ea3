import { describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStore } from "../store/database.ts";
import { holdsSecrets, providerRepository } from "./repository.ts";
import { openVault, vaultWith } from "./vault.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("the vault", () => {
  const vault = vaultWith(new Uint8Array(32).fill(7));

  test("opens what it sealed, for the same owner, and seals nothing twice alike", () => {
    const [one, two] = [vault.seal(bytes("secret"), "a"), vault.seal(bytes("secret"), "a")];
    expect(Buffer.from(one).equals(Buffer.from(two))).toBe(false);
    expect(Buffer.from(one).includes("secret")).toBe(false);
    expect(new TextDecoder().decode(vault.open(one, "a"))).toBe("secret");
    expect(vault.open(vault.seal(new Uint8Array(), "a"), "a")).toHaveLength(0);
  });

  test("refuses another owner, another key, every changed byte, and what is cut", () => {
    const sealed = vault.seal(bytes("secret"), "a");
    expect(() => vault.open(sealed, "b")).toThrow("cannot be decrypted");
    expect(() => vaultWith(new Uint8Array(32).fill(8)).open(sealed, "a")).toThrow("cannot be decrypted");
    for (let at = 0; at < sealed.length; at++) {
      const changed = Uint8Array.from(sealed);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => vault.open(changed, "a")).toThrow("cannot be decrypted");
      expect(() => vault.open(sealed.subarray(0, at), "a")).toThrow("cannot be decrypted");
    }
  });

  test("its digest is equal for equal bytes and differs by key", () => {
    expect(vault.digest(bytes("x"))).toBe(vault.digest(bytes("x")));
    expect(vault.digest(bytes("x"))).not.toBe(vault.digest(bytes("y")));
    expect(vault.digest(bytes("x"))).not.toBe(vaultWith(new Uint8Array(32)).digest(bytes("x")));
  });

  test("the key file is made once, private; one that is missing while it is needed, or is no key, is refused", () => {
    const directory = mkdtempSync(join(tmpdir(), "vault-"));
    const file = join(directory, "provider-key");
    try {
      expect(() => openVault(file, true)).toThrow("is missing");
      const sealed = openVault(file, false).seal(bytes("s"), "a");
      expect(statSync(file).mode & 0o777).toBe(0o600);
      chmodSync(file, 0o644);
      expect(openVault(file, true).open(sealed, "a")).toEqual(Buffer.from("s"));
      expect(statSync(file).mode & 0o777).toBe(0o600);
      writeFileSync(file, "short");
      expect(() => openVault(file, true)).toThrow("is not a key");
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test("a provider whose key is lost says so, and can be deleted", () => {
    using store = openStore(":memory:");
    const record = {
      ...{ id: "i", workspace: "default", name: "gh", type: "github", createdAt: 0, resourceVersion: 1 },
      ...{ labels: {}, annotations: {}, config: {}, credentials: { GH_TOKEN: "s" }, expirations: {} },
    };
    providerRepository(store.db, vault).insert(record);
    expect(providerRepository(store.db, vault).byName("default", "gh")).toMatchObject(record);
    const other = providerRepository(store.db, vaultWith(new Uint8Array(32)));
    const found = other.byName("default", "gh");
    expect(found?.type).toBe("github");
    expect(() => found?.credentials).toThrow("cannot be decrypted");
    expect(() => other.update("i", { config: { A: "1" } })).toThrow("cannot be decrypted");
    expect(other.delete("i")).toBe(true);
    expect(holdsSecrets(store.db)).toBe(false);
  });
});
