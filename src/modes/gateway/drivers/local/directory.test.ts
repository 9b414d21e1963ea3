import { expect, test } from "bun:test";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SUPERVISOR_LOG_BYTES } from "../../../../supervisor-spec.ts";
import { openLog, sandboxDirectory } from "./directory.ts";

test("a log goes on with the next supervisor; a full one is put aside, and the one before it goes", () => {
  const root = mkdtempSync(join(tmpdir(), "log-"));
  try {
    const directory = sandboxDirectory(root, "x");
    mkdirSync(join(directory.path, "log"), { recursive: true });
    const write = (text: string) => {
      const log = openLog(directory);
      writeSync(log, text);
      closeSync(log);
    };
    write("first\n");
    write("second\n");
    expect(readFileSync(directory.logFile, "utf8")).toBe("first\nsecond\n");
    expect(existsSync(`${directory.logFile}.1`)).toBe(false);
    writeFileSync(`${directory.logFile}.1`, "older");
    truncateSync(directory.logFile, SUPERVISOR_LOG_BYTES + 1);
    write("third\n");
    expect(readFileSync(directory.logFile, "utf8")).toBe("third\n");
    expect(statSync(`${directory.logFile}.1`).size).toBe(SUPERVISOR_LOG_BYTES + 1);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
