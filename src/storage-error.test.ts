import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { OpenShellError } from "./error.ts";
import { storageError } from "./storage-error.ts";

test("a full disk, a read-only and a broken one have sentences, other failures none", () => {
  const failure = (code: string) => Object.assign(new Error("low level"), { code });
  expect(storageError(failure("ENOSPC"))).toMatchObject({ code: "resource_exhausted", message: expect.stringContaining("is full") });
  expect(storageError(failure("EROFS"))).toMatchObject({
    code: "failed_precondition",
    message: expect.stringContaining("cannot be written"),
  });
  expect(storageError(failure("SQLITE_IOERR_FSYNC"))).toMatchObject({ message: expect.stringContaining("fails") });
  for (const other of [failure("ENOENT"), new Error("x"), new OpenShellError("internal", "x"), "text"])
    expect(storageError(other)).toBeUndefined();
});

test("SQLite's own errors are told apart by code", () => {
  using db = new Database(":memory:", { strict: true });
  db.run("PRAGMA max_page_count = 2");
  db.run("CREATE TABLE t (x TEXT)");
  let full: unknown;
  try {
    for (let row = 0; row < 100; row++) db.run("INSERT INTO t VALUES (hex(zeroblob(1000)))");
  } catch (error) {
    full = error;
  }
  expect(storageError(full)?.code).toBe("resource_exhausted");
});
