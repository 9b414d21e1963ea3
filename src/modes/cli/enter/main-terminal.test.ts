import { expect, test } from "bun:test";
import { withoutEscapes } from "./main-terminal.ts";

/** What the program gets of these chunks, and whether the person left. */
async function typed(...chunks: readonly string[]): Promise<{ readonly keys: string; readonly left: boolean }> {
  let left = false;
  const given = (async function* () {
    for (const chunk of chunks) yield new TextEncoder().encode(chunk);
  })();
  let keys = "";
  for await (const piece of withoutEscapes(given, () => {
    left = true;
  }))
    keys += Buffer.from(piece).toString();
  return { keys, left };
}

test("~. at the beginning of a line leaves, also when its keys come one by one", async () => {
  expect(await typed("~.more")).toEqual({ keys: "", left: true });
  expect(await typed("ls\r~", ".more")).toEqual({ keys: "ls\r", left: true });
  expect(await typed("ls\n", "~", ".")).toEqual({ keys: "ls\n", left: true });
});

test("anywhere else a tilde is a tilde", async () => {
  expect(await typed("cd ~.\r")).toEqual({ keys: "cd ~.\r", left: false });
  expect(await typed("~~.\r", "~/bin\r", "x~", ".\r")).toEqual({ keys: "~.\r~/bin\rx~.\r", left: false });
  expect(await typed("x\r", "~")).toEqual({ keys: "x\r~", left: false });
});

test("other bytes go through as they are", async () => {
  expect(await typed("\x1b[A\x03", "äö\t")).toEqual({ keys: "\x1b[A\x03äö\t", left: false });
});
